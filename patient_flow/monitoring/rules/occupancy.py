"""Beds: departments that are full, and counts that cannot be right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from patient_flow.contracts.fullness import FULL_PCT, Limits
from patient_flow.contracts.measure_types import Text
from patient_flow.monitoring.bed_alerts import ASK_THE_WARDS, DELAYED, FULL, MAKE_ROOM, BedAlert, by_urgency
from patient_flow.monitoring.finding import Finding, Severity, error, ok, warning
from patient_flow.monitoring.thresholds import Threshold
from patient_flow.wording import plural

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
        hours = plural(impossible, "hour counts", "hours count")
        return error(f"{hours} less than one patient in bed.", figures, rows)
    if above.height:
        more = f"more than {limit.warning:g} %"
        message = plural(above.height, f"department has {more} of its", f"departments have {more} of their")
        return warning(f"{message} staffed beds occupied.", figures, rows)
    return ok("No department is far above its staffed beds.", figures)


def full_departments(
    hours: pl.DataFrame, limits: Limits, zone: ZoneInfo, *, newest: datetime | None = None
) -> list[BedAlert]:
    """Departments that are too full, each since the hour from which on it was.

    ``hours`` has hospital, department, at (the beginning of the hour, UTC) and occupancy_pct, of ``limits.window`` at
    least; a department without a row in an hour was empty. ``newest`` is the last hour of all departments, by default
    that of ``hours``. Times in texts are those of ``zone``.
    """
    last = newest or hours["at"].max()
    if not isinstance(last, datetime):
        return []
    first = last - limits.window
    known = hours.filter(c("at").is_between(first, last), c("occupancy_pct").is_not_null())
    may_be_open = known.filter(c("at") == last, c("occupancy_pct") >= limits.resolves).select("hospital", "department")
    alerts = []
    for (hospital, department), rows in known.join(may_be_open, on=["hospital", "department"], how="semi").group_by(
        ["hospital", "department"]
    ):
        by_hour = dict(rows.select("at", "occupancy_pct").iter_rows())
        since = _open_since(by_hour, first, last, limits)
        if since is None:
            continue
        share = by_hour[last]
        alerts.append(
            BedAlert(
                FULL,
                Severity.ERROR if share >= limits.critical else Severity.WARNING,
                str(hospital),
                str(department),
                _full(share, last.astimezone(zone)),
                MAKE_ROOM,
                since,
                is_before=since == first,
                occupancy_pct=share,
            )
        )
    return by_urgency(alerts)


def _open_since(by_hour: Mapping[datetime, float], first: datetime, last: datetime, limits: Limits) -> datetime | None:
    """The beginning of the alert that is open in the last hour.

    An alert opens at the critical level, or when the high one has lasted, and is over below ``resolves``: in between it
    stays as it was, so that it does not come and go.
    """
    began: datetime | None = None
    since: datetime | None = None
    hour = first
    while hour <= last:
        share = by_hour.get(hour, 0.0)
        began = (began or hour) if share >= limits.high else None
        opens = began is not None and (share >= limits.critical or hour - began >= timedelta(hours=limits.hours))
        if share < limits.resolves:
            since = None
        elif opens:
            since = since or began
        hour += timedelta(hours=1)
    return since


def _full(share: float, at: datetime) -> Text:
    over = share > FULL_PCT
    return Text(
        f"{share:.0f} % full at {at:%H:%M}{' (over-full)' if over else ''}",
        f"plein à {share:.0f} % à {at:%H:%M}{' (suroccupé)' if over else ''}",
    )


@dataclass(frozen=True)
class Delays:
    """Patients in beds of a hospital, and when the delayed ones could have left."""

    hospital: str
    in_beds: int
    due_at: Sequence[datetime] = ()


def delayed_hospitals(hospitals: Sequence[Delays], limit: Threshold, now: datetime) -> list[BedAlert]:
    """Hospitals where the share of delayed patients reaches the limits, each since today's delayed patients did."""
    alerts = []
    for found in hospitals:
        delayed = len(found.due_at)
        share = 100 * delayed / found.in_beds if found.in_beds else 0.0
        if not delayed or share < limit.warning:
            continue
        enough = max(1, math.ceil(limit.warning * found.in_beds / 100))
        hours = round(sum((now - due).total_seconds() for due in found.due_at) / 3600)
        in_beds = plural(found.in_beds, "patient in a bed", "patients in beds")
        sur = f"sur {found.in_beds} ({share:.0f} %)"
        auraient = plural(
            delayed, f"patient hospitalisé {sur} aurait", f"patients hospitalisés {sur} auraient", language="fr"
        )
        what = Text(
            f"{delayed} of {in_beds} ({share:.0f} %) could have left, {plural(hours, 'hour')} of delay in all",
            f"{auraient} pu sortir, {plural(hours, 'heure', language='fr')} de retard en tout",
        )
        severity = Severity.ERROR if limit.error is not None and share >= limit.error else Severity.WARNING
        since = sorted(found.due_at)[min(enough, delayed) - 1]
        alerts.append(BedAlert(DELAYED, severity, found.hospital, "", what, ASK_THE_WARDS, since))
    return by_urgency(alerts)
