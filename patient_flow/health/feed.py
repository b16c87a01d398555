"""The senders: do they send, as much as usual, what the contract knows, and does it arrive in time?"""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from patient_flow.contracts import measures
from patient_flow.contracts.rules import ALL
from patient_flow.health.findings import Finding, Row, fine, grave, warning

c = pl.col

SHOWN = 20
_FIELD = re.compile(r"[A-Za-z_][A-Za-z_.-]{0,39}[0-9]{0,2}")


def data_recent(
    *, now: datetime, newest: datetime | None, complete_until: datetime | None, waiting: int | None
) -> Finding:
    """Hub → warehouse. An idle hospital is not late: only what waits at the hub can be.

    ``newest`` is the newest event in the warehouse; ``complete_until`` the instant up to which everything that the hub
    had accepted was read (None if unknown); ``waiting`` the events that the hub holds beyond bronze (None if nobody
    asked it since ``complete_until``).
    """
    known = [instant for instant in (newest, complete_until) if instant is not None]
    lag = now - max(known) if known and waiting != 0 else timedelta(0)
    figures: dict[str, int | float] = {"lag_minutes": _minutes(lag)}
    if waiting is not None:
        figures["waiting"] = waiting
    if newest is not None:
        figures["age_minutes"] = _minutes(now - newest)
    loaded = "no event was loaded yet" if newest is None else f"the newest one loaded is of {_said(newest)}"
    if waiting == 0 or (not known and waiting is None):
        return fine(f"Everything that the hub holds was read; {loaded}.", figures)
    if known and lag <= timedelta(minutes=measures.DATA_AGE_WARNING_MINUTES):
        return fine(f"Everything that the hub had accepted by {_said(max(known))} was read; {loaded}.", figures)
    late = f"{'Events' if waiting is None else f'{waiting:,} events'} wait at the hub, "
    late += f"some perhaps since {_said(max(known))}; {loaded}." if known else "and none was ever read."
    is_grave = not known or lag > timedelta(minutes=measures.DATA_AGE_FAILURE_MINUTES)
    return (grave if is_grave else warning)(late, figures)


def hub_silent(reason: str, *, now: datetime, newest: datetime | None) -> Finding:
    """The hub cannot be asked: nobody knows whether events wait."""
    figures: dict[str, int | float] = {} if newest is None else {"age_minutes": _minutes(now - newest)}
    since = "" if newest is None else f". The newest event loaded is of {_said(newest)}."
    return warning(f"{reason.rstrip('.')}{since}", figures)


def few_quarantined(quality: pl.DataFrame) -> Finding:
    """DataQualityDay rows of one day: the share of events in quarantine, and the rules they break most often."""
    by_rule = quality.group_by("rule").agg(c("accepted", "quarantined").sum())
    events = by_rule.filter(c("rule") == ALL)
    accepted, quarantined = int(events["accepted"].sum()), int(events["quarantined"].sum())
    share = 100 * quarantined / max(1, accepted + quarantined)
    worst = by_rule.filter((c("rule") != ALL) & (c("quarantined") > 0)).sort("quarantined", "rule", descending=True)
    rows: Sequence[Row] = worst.select("rule", "quarantined").head(10).to_dicts()
    figures = {"quarantined_pct": share, "quarantined": quarantined, "events": accepted + quarantined}
    if accepted + quarantined < measures.QUARANTINE_LEAST_EVENTS:
        return fine("The newest day has too few events to judge how many are quarantined.", figures, rows)
    if share <= measures.QUARANTINE_WARNING_PCT:
        return fine("Few events are quarantined.", figures, rows)
    return warning(f"{share:.1f} % of the newest day's events are quarantined.", figures, rows)


def volume_usual(events: int, earlier: Sequence[int], hour: datetime, *, read_until: datetime | None) -> Finding:
    """Events of the last full ``hour`` against the same hour of earlier weeks.

    ``read_until`` is the instant up to which everything that the hub had accepted was read (None if unknown): an hour
    that we have not read to its end says nothing of the senders.
    """
    figures: dict[str, int | float] = {"events": events, "weeks": len(earlier)}
    # Hours are counted in UTC: the clock on the wall goes back once a year.
    if read_until is None or read_until < hour.astimezone(UTC) + timedelta(hours=1):
        return fine(f"The hour from {hour:%Y-%m-%d %H:%M} (local) {_behind(read_until)}", figures)
    if len(earlier) < 2:
        return fine("There are not two earlier weeks to compare with yet.", figures)
    usual = statistics.median(earlier)
    figures["usual"] = usual
    if usual < measures.VOLUME_LEAST_EVENTS:
        return fine("This hour usually has too few events to compare.", figures)
    said = (
        f"{events:,} events in the hour from {hour:%Y-%m-%d %H:%M} (local); "
        f"usual for this hour of the week are {usual:,.0f}."
    )
    if usual / measures.VOLUME_FACTOR <= events <= usual * measures.VOLUME_FACTOR:
        return fine(said, figures)
    return warning(said, figures)


def every_hospital_sends(
    last_sent: pl.DataFrame, listed: pl.Series, *, now: datetime, read_until: datetime | None
) -> Finding:
    """``last_sent`` has hospital_id and last_at, of the hospitals of which something was accepted in the last days.

    They are judged as of ``read_until``, up to which everything that the hub had accepted was read (None if unknown):
    what came later is not theirs to answer for. Only ``listed`` hospitals are named.
    """
    if read_until is None or read_until < now - timedelta(hours=measures.SENDER_SILENT_HOURS):
        return fine(f"Which hospitals send {_behind(read_until)}", {"hospitals": last_sent.height})
    hours = (pl.lit(read_until) - c("last_at")).dt.total_minutes() / 60
    silent = last_sent.with_columns(silent_hours=hours.round(1)).filter(
        c("silent_hours") > measures.SENDER_SILENT_HOURS
    )
    figures = {"hospitals": last_sent.height, "silent": silent.height}
    if silent.is_empty():
        return fine("Every hospital that sent in the last days still sends.", figures)
    rows = silent.select(_shown_hospital(listed), "silent_hours").sort("silent_hours", descending=True).head(SHOWN)
    return warning(
        f"Of {silent.height:,} hospitals no event was accepted for more than {measures.SENDER_SILENT_HOURS} hours.",
        figures,
        rows.to_dicts(),
    )


def _behind(read_until: datetime | None) -> str:
    since = "" if read_until is None else f" since {_said(read_until)}"
    return f"cannot be judged: the pipeline is behind the hub{since}."


def fields_known(new: set[str]) -> Finding:
    """``new`` are names of unknown fields that senders started to send. A name that looks like data is not shown."""
    shown = sorted(name for name in new if _FIELD.fullmatch(name))
    figures = {"new_fields": len(new)}
    if not new:
        return fine("Senders send no field that they did not send in the days before.", figures)
    hidden = f" and {len(new) - len(shown)} whose names look like data" if len(new) > len(shown) else ""
    named = ", ".join(shown[:SHOWN]) + (" …" if len(shown) > SHOWN else "")
    return warning(f"Senders started to send fields that the contract does not know: {named}{hidden}.", figures)


def departments_current(
    departments: pl.DataFrame, department_list: pl.DataFrame, *, now: datetime, is_shipped: bool
) -> Finding:
    """DimDepartment: departments that only events name, and the age of the newest line of the list it is made of.

    The age is the list's own: a line that changes nothing confirms the beds, and makes no version. The shipped list
    belongs to the demo and is not judged by age. A name that only events state is not shown: where a sender fills the
    wrong field it is a patient's.
    """
    listed = departments.filter(~c("is_inferred"))
    inferred = departments.filter(c("is_inferred"), c("department_key") != 0)
    newest = department_list["valid_from"].max()
    days = (now - newest).days if isinstance(newest, datetime) else 0
    figures = {"inferred": inferred.height, "listed": listed.filter("is_current").height, "list_age_days": days}
    if inferred.height:
        return warning(
            f"Events name {inferred.height:,} departments that the list lacks: they have no beds, so their occupancy "
            "is not measured.",
            figures,
            _by_hospital(inferred, department_list["hospital_id"]),
        )
    if days > measures.DEPARTMENT_LIST_WARNING_DAYS and not is_shipped:
        return warning(f"The newest line of the department list is {days:,} days old.", figures)
    return fine("Every department that events name is in the list.", figures)


def _by_hospital(departments: pl.DataFrame, listed: pl.Series) -> Sequence[Row]:
    """How many departments each hospital has; hospitals that are not ``listed`` are one."""
    return (
        departments.group_by(_shown_hospital(listed))
        .agg(departments=pl.len())
        .sort("departments", "hospital_id", descending=[True, False])
        .head(SHOWN)
        .to_dicts()
    )


def _shown_hospital(listed: pl.Series) -> pl.Expr:
    """Of hospitals that are not ``listed`` only that: what a sender states may be a patient's name."""
    is_listed = c("hospital_id").is_in(listed.unique().implode())
    return pl.when(is_listed).then("hospital_id").otherwise(pl.lit("not in the list")).alias("hospital_id")


def _minutes(span: timedelta) -> float:
    return round(span.total_seconds() / 60, 2)


def _said(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"
