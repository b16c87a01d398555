"""Rules about senders: silence, unusual volume, unknown fields and unknown departments."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from patient_flow.contracts.rules import ALL
from patient_flow.monitoring.finding import Finding, Row, Severity, ok, warning
from patient_flow.monitoring.inputs import Volume
from patient_flow.monitoring.thresholds import Threshold
from patient_flow.wording import plural

c = pl.col

MAX_NAMES = 20
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}[0-9]{0,2}")


def quarantine_rate(quality: pl.DataFrame, limit: Threshold, *, min_events: int) -> Finding:
    """DataQualityDay rows of one day: the share of quarantined events, and the rules they break most often."""
    by_rule = quality.group_by("rule").agg(c("accepted", "quarantined").sum())
    totals = by_rule.filter(c("rule") == ALL)
    accepted, quarantined = int(totals["accepted"].sum()), int(totals["quarantined"].sum())
    total = accepted + quarantined
    share = 100 * quarantined / max(1, total)
    worst = by_rule.filter((c("rule") != ALL) & (c("quarantined") > 0)).sort("quarantined", "rule", descending=True)
    rows: Sequence[Row] = worst.select("rule", "quarantined").head(10).to_dicts()
    figures = {"quarantined_pct": share, "quarantined": quarantined, "events": total}
    if total < min_events:
        return ok("The newest day has too few events to judge the share in quarantine.", figures, rows)
    if share <= limit.warning:
        return ok("Few events are quarantined.", figures, rows)
    return warning(f"{share:.1f} % of the newest day's events are quarantined.", figures, rows)


def quarantine_spike(
    accepted: int, quarantined: int, limit_pct: float, *, min_events: int, reasons: Sequence[str] = ()
) -> list[Finding]:
    """The share of the last 15 minutes' events that was quarantined. ``reasons`` are the most frequent ones."""
    total = accepted + quarantined
    share = 100 * quarantined / max(1, total)
    if total < min_events or share < limit_pct:
        return []
    message = (
        f"{share:.0f} % of the {plural(total, 'event')} of the last 15 minutes were quarantined "
        f"(limit {limit_pct:g} %)."
    )
    most = f" Most frequent: {'; '.join(reasons)}." if reasons else ""
    return [Finding(Severity.WARNING, message + most)]


def event_volume_normal(volume: Volume, limit: Threshold, *, min_events: int, read_until: datetime | None) -> Finding:
    """The last full hour against the same hour of earlier weeks, by a factor.

    Everything the hub accepted until ``read_until`` was read: an hour that was not read to its end says nothing of the
    senders.
    """
    events, hour = volume.events, volume.hour
    figures: dict[str, int | float] = {"events": events, "weeks": len(volume.earlier)}
    # Hours are counted in UTC: the clock on the wall goes back once a year.
    if read_until is None or read_until < hour.astimezone(UTC) + timedelta(hours=1):
        return ok(f"The hour from {hour:%Y-%m-%d %H:%M} (local) {_behind(read_until)}", figures)
    if len(volume.earlier) < 2:
        return ok("There are not two earlier weeks to compare with yet.", figures)
    usual = statistics.median(volume.earlier)
    figures["usual"] = usual
    if usual < min_events:
        return ok("This hour usually has too few events to compare.", figures)
    message = (
        f"{plural(events, 'event')} in the hour from {hour:%Y-%m-%d %H:%M} (local); "
        f"{usual:,.0f} are usual for this hour of the week."
    )
    is_normal = usual / limit.warning <= events <= usual * limit.warning
    return (ok if is_normal else warning)(message, figures)


def every_hospital_sends(
    last_sent: pl.DataFrame, listed: pl.Series, limit: Threshold, *, now: datetime, read_until: datetime | None
) -> Finding:
    """``last_sent`` has hospital_id and last_at of the hospitals with an accepted event in the last days.

    They are judged as of ``read_until``, up to which everything the hub accepted was read (None: unknown). Only
    ``listed`` hospitals are named.
    """
    if read_until is None or read_until < now - timedelta(hours=limit.warning):
        return ok(f"Which hospitals send {_behind(read_until)}", {"hospitals": last_sent.height})
    hours = (pl.lit(read_until) - c("last_at")).dt.total_minutes() / 60
    silent = last_sent.with_columns(silent_hours=hours.round(1)).filter(c("silent_hours") > limit.warning)
    figures = {"hospitals": last_sent.height, "silent": silent.height}
    if silent.is_empty():
        return ok("Every hospital that sent in the last days still sends.", figures)
    rows = silent.select(_public_hospital(listed), "silent_hours").sort("silent_hours", descending=True)
    return warning(
        f"{plural(silent.height, 'hospital has', 'hospitals have')} had no accepted event for more than "
        f"{plural(limit.warning, 'hour')}.",
        figures,
        rows.head(MAX_NAMES).to_dicts(),
    )


def no_new_fields(new: set[str]) -> Finding:
    """``new`` are names of unknown fields that senders started to send. A name that looks like data is not shown."""
    public = sorted(name for name in new if _FIELD.fullmatch(name))
    figures = {"new_fields": len(new)}
    if not new:
        return ok("Senders send no new fields.", figures)
    like_data = plural(len(new) - len(public), "whose name looks like data", "whose names look like data")
    hidden = f" and {like_data}" if len(new) > len(public) else ""
    names = ", ".join(public[:MAX_NAMES]) + (" …" if len(public) > MAX_NAMES else "")
    return warning(f"Senders started to send fields that the contract does not define: {names}{hidden}.", figures)


def department_list_current(
    departments: pl.DataFrame, department_list: pl.DataFrame, limit: Threshold, *, now: datetime, is_demo_list: bool
) -> Finding:
    """DimDepartment: departments that only events name, and the age (days) of the newest row of the list.

    A row that changes nothing confirms the beds and makes no version, so the age is the list's own. The demo's list is
    not judged by age. A name that only events state is not shown: where a sender fills the wrong field it is a
    patient's.
    """
    listed = departments.filter(~c("is_inferred"))
    inferred = departments.filter(c("is_inferred"), c("department_key") != 0)
    newest = department_list["valid_from"].max()
    days = (now - newest).days if isinstance(newest, datetime) else 0
    figures = {"inferred": inferred.height, "listed": listed.filter("is_current").height, "list_age_days": days}
    if inferred.height:
        unlisted = plural(
            inferred.height,
            "department that is not in the list: it has",
            "departments that are not in the list: they have",
        )
        return warning(
            f"Events name {unlisted} no beds and no occupancy.",
            figures,
            _by_hospital(inferred, department_list["hospital_id"]),
        )
    if days > limit.warning and not is_demo_list:
        return warning(f"The newest row of the department list is {plural(days, 'day')} old.", figures)
    return ok("Every department that events name is in the list.", figures)


def _by_hospital(departments: pl.DataFrame, listed: pl.Series) -> Sequence[Row]:
    """Departments per hospital; hospitals that are not ``listed`` are one."""
    return (
        departments.group_by(_public_hospital(listed))
        .agg(departments=pl.len())
        .sort("departments", "hospital_id", descending=[True, False])
        .head(MAX_NAMES)
        .to_dicts()
    )


def _public_hospital(listed: pl.Series) -> pl.Expr:
    """The id of a ``listed`` hospital. Another one may be a patient's name in the wrong field."""
    is_listed = c("hospital_id").is_in(listed.unique().implode())
    return pl.when(is_listed).then("hospital_id").otherwise(pl.lit("not in the list")).alias("hospital_id")


def _behind(read_until: datetime | None) -> str:
    since = "" if read_until is None else f" since {read_until:%Y-%m-%d %H:%M:%S} UTC"
    return f"cannot be judged: the pipeline is behind the hub{since}."
