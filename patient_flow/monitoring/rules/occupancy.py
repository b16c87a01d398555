"""Beds: departments that are full, and counts that cannot be right."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from patient_flow.monitoring.finding import Finding, Severity, error, ok, warning
from patient_flow.monitoring.thresholds import Threshold

c = pl.col

MAX_DEPARTMENTS = 20


def occupancy_plausible(
    census: pl.DataFrame, departments: pl.DataFrame, limit: Threshold, *, since: int = 0
) -> Finding:
    """FactBedCensus of one hour, or of all, against the staffed beds of ``departments`` (DimDepartment).

    A count below one is always an error: an hour without patients has no row, so the census is wrong. Too many
    patients are a warning, and only in hours from ``since`` (a ``time_key``) on.
    """
    impossible = census.filter(c("occupied_beds") < 1).height
    highest = (
        census.filter(c("time_key") >= since)
        .group_by("time_key", "department_key")
        .agg(c("occupied_beds").sum())
        .join(departments.select("department_key", "hospital_id", "department", "staffed_beds"), on="department_key")
        .filter(c("staffed_beds") > 0)
        .with_columns(occupancy_pct=(100.0 * c("occupied_beds") / c("staffed_beds")).round(1))
        .sort("occupancy_pct", "time_key", descending=True)
        .unique("department_key", keep="first", maintain_order=True)
    )
    above = highest.filter(c("occupancy_pct") > limit.warning)
    figures = {
        "highest_pct": float(highest["occupancy_pct"][0]) if highest.height else 0.0,
        "departments_above": above.height,
        "impossible_counts": impossible,
    }
    rows = (
        above.head(MAX_DEPARTMENTS)
        .select("hospital_id", "department", "staffed_beds", "occupied_beds", "occupancy_pct", hour="time_key")
        .to_dicts()
    )
    if impossible:
        return error(f"{impossible:,} hours count less than one patient in bed.", figures, rows)
    if above.height:
        message = f"{above.height:,} departments have more than {limit.warning:g} % of their staffed beds occupied."
        return warning(message, figures, rows)
    return ok("No department is far above its staffed beds.", figures)


@dataclass(frozen=True)
class DepartmentHour:
    """Occupancy of a department in the hour that begins ``at``, in local time."""

    hospital: str
    department: str
    at: datetime
    occupancy_pct: float


@dataclass(frozen=True)
class OccupancyLimits:
    """Opens above ``high`` percent that last ``hours``, at once at ``critical``; resolves below ``resolves``."""

    high: float
    critical: float
    resolves: float
    hours: int


def occupancy_high(
    hours: Sequence[DepartmentHour], already_open: Collection[str], limits: OccupancyLimits
) -> list[Finding]:
    """Departments that are too full, each since the hour from which on it was. ``already_open``: subjects of alerts."""
    by_department: dict[str, list[DepartmentHour]] = {}
    for hour in sorted(hours, key=lambda hour: hour.at):
        by_department.setdefault(f"{hour.hospital}/{hour.department}", []).append(hour)
    newest = max((hour.at for hour in hours), default=None)
    findings = []
    for subject, series in by_department.items():
        last = series[-1]
        if last.at != newest:
            continue
        recent = [hour for hour in series if hour.at >= last.at - timedelta(hours=limits.hours)]
        is_lasting = len(recent) > limits.hours and all(hour.occupancy_pct >= limits.high for hour in recent)
        is_critical = last.occupancy_pct >= limits.critical
        if is_critical or is_lasting or (subject in already_open and last.occupancy_pct >= limits.resolves):
            over = " (over-full)" if last.occupancy_pct > 100 else ""
            message = (
                f"{last.department} of {last.hospital} is {last.occupancy_pct:.0f} % full at {last.at:%H:%M}{over}."
            )
            severity = Severity.ERROR if is_critical else Severity.WARNING
            findings.append(Finding(severity, message, subject=subject, since=_since(series, limits)))
    return findings


def _since(series: Sequence[DepartmentHour], limits: OccupancyLimits) -> datetime:
    """The first of the last hours that were all at or above the limit; the last hour, where it is below."""
    since = series[-1].at
    for hour in reversed(series):
        if hour.occupancy_pct < limits.high:
            break
        since = hour.at
    return since


@dataclass(frozen=True)
class Delays:
    """Patients in beds of a hospital now, and of these the delayed ones with their hours of delay."""

    hospital: str
    in_beds: int
    delayed: int
    delay_hours: float


def discharges_delayed(
    hospitals: Sequence[Delays], already_open: Collection[str], limit: Threshold, *, resolves: float
) -> list[Finding]:
    """Hospitals where the share of delayed patients reaches the limits; an open alert ends below ``resolves``."""
    findings = []
    for found in hospitals:
        share = 100 * found.delayed / found.in_beds if found.in_beds else 0.0
        if share < (resolves if found.hospital in already_open else limit.warning):
            continue
        message = (
            f"{found.hospital}: {found.delayed} of {found.in_beds} patients in beds ({share:.0f} %) could have left, "
            f"{found.delay_hours:,.0f} hours of delay in all."
        )
        severity = Severity.ERROR if limit.error is not None and share >= limit.error else Severity.WARNING
        findings.append(Finding(severity, message, subject=found.hospital))
    return findings
