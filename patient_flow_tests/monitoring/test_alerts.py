"""Each alert is told once, and once when it is over; nothing is lost by a restart or a channel that is down."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.fullness import Limits
from patient_flow.monitoring import catalogue, messages, thresholds
from patient_flow.monitoring.alert_state import AlertState, Firing, changes, mark_delivered, update
from patient_flow.monitoring.bed_alerts import BedAlert
from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.notices import EventsExpired, EventsRemaining, HubRecreated, PartitionAdded
from patient_flow.monitoring.rule import Audience, Rule
from patient_flow.monitoring.rules import freshness, occupancy, senders, system
from patient_flow.monitoring.rules.freshness import Staleness
from patient_flow.orchestration.probes import judge_notices

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUNBOOK = Path(__file__).parents[2] / "infra" / "docs" / "runbook"
WARNING, ERROR = Severity.WARNING, Severity.ERROR


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def fires(rule: Rule, subject: str, severity: Severity, message: str) -> Firing:
    return Firing(rule, Finding(severity, message, subject=subject))


def tick(
    state: AlertState,
    at: datetime,
    *firings: Firing,
    channels: tuple[str, ...] = ("e-mail",),
    unknown: Collection[str] = (),
) -> AlertState:
    """One tick; channels whose name begins with ``beds`` are of bed management, all others of operators."""
    audiences = {name: Audience.BED_MANAGEMENT if name.startswith("beds") else Audience.OPERATOR for name in channels}
    return update(state, changes(state, firings, at, unknown), audiences, at)


def events(state: AlertState, channel: str = "e-mail") -> list[tuple[str, str]]:
    return [(note.event, note.alert.key) for note in state.outbox[channel]]


DOWN = fires(catalogue.HUB_DOWN, "", ERROR, "The hub is down.")


def test_an_alert_is_delivered_once_and_once_more_when_it_resolves() -> None:
    state = tick(AlertState(), minute(0), DOWN)
    assert events(state) == [("opened", "hub_down")]
    state = tick(mark_delivered(state, "e-mail"), minute(1), DOWN)
    assert events(state) == []
    state = tick(state, minute(2))
    assert events(state) == [("resolved", "hub_down")]
    assert tick(mark_delivered(state, "e-mail"), minute(3)).outbox == {"e-mail": ()}


FAILED = fires(catalogue.RUN_FAILED, "micro_batch", ERROR, "The newest run failed.")


def test_a_fault_that_may_come_and_go_ends_when_it_was_not_seen_twice_and_says_so_before() -> None:
    state = tick(AlertState(), minute(0), FAILED)
    state = tick(state, minute(1))
    (shown,) = messages.entries(state.open.values(), messages.Links(zone=ZoneInfo("Europe/Paris"))).values()
    assert "The newest run failed. Not seen since: ends about 13:02 unless it returns." in shown
    assert "ends about 13:02" in messages.summarize(state.open, messages.Links(zone=ZoneInfo("Europe/Paris")))
    assert "ends about" not in messages.summarize(tick(state, minute(1.5), FAILED).open, messages.Links())
    assert "ends about" not in messages.summarize(tick(state, minute(2), unknown={"run_failed"}).open, messages.Links())
    state = tick(state, minute(2))
    assert events(state) == [("opened", "run_failed/micro_batch"), ("resolved", "run_failed/micro_batch")]


def test_a_fault_that_returns_again_and_again_is_one_alert() -> None:
    state = AlertState()
    for number in range(40):  # seen every fourth minute
        state = tick(state, minute(number), *([FAILED] if number % 4 == 0 else []))
    assert [event for event, _ in events(state)] == ["opened", "resolved", "opened", "resolved", "opened"]
    assert "unless it returns (it has returned 2 times)." in messages.summarize(state.open, messages.Links())
    assert tick(state, minute(41)).open == {}
    state = tick(tick(AlertState(), minute(0), DOWN), minute(1))  # what is over at once is held as well
    for number in range(2, 40):
        state = tick(state, minute(number), *([DOWN] if number % 2 == 0 else []))
    assert [event for event, _ in events(state)] == ["opened", "resolved", "opened", "resolved", "opened"]


def test_two_faults_in_a_row_each_end_as_soon_as_the_first() -> None:
    state = AlertState()
    for number in range(20):
        state = tick(state, minute(number), *([FAILED] if number in (0, 4, 15) else []))
    assert [(round(ended.resolved_at - NOON.timestamp()) // 60) for ended in state.resolved] == [17, 6, 2]


def test_an_escalation_is_delivered_again() -> None:
    warning = fires(catalogue.OCCUPANCY_HIGH, "St Anna/ICU", WARNING, "86 %")
    beds: dict[str, Any] = {"channels": ("beds",)}
    state = mark_delivered(tick(AlertState(), minute(0), warning, **beds), "beds")
    state = tick(state, minute(1), fires(catalogue.OCCUPANCY_HIGH, "St Anna/ICU", ERROR, "96 %"), **beds)
    assert events(state, "beds") == [("escalated", "occupancy_high/St Anna/ICU")]
    assert events(tick(mark_delivered(state, "beds"), minute(2), warning, **beds), "beds") == []


def test_full_wards_go_to_bed_management_and_faults_to_operators() -> None:
    full = fires(catalogue.OCCUPANCY_HIGH, "St Anna/ICU", ERROR, "96 %")
    state = tick(AlertState(), minute(0), full, DOWN, channels=("e-mail", "beds"))
    assert events(state) == [("opened", "hub_down")]
    assert events(state, "beds") == [("opened", "occupancy_high/St Anna/ICU")]
    assert list(tick(AlertState(), minute(0), full).open) == ["occupancy_high/St Anna/ICU"]  # shown all the same


def test_an_alert_began_when_its_finding_says() -> None:
    (alert,) = full_icu(50, 90, 96, 97)
    state = tick(AlertState(), minute(7), Firing(catalogue.OCCUPANCY_HIGH, alert.finding))
    assert state.open["occupancy_high/St Anna/ICU"].opened_at == (NOON - timedelta(hours=2)).timestamp()


def test_what_ended_is_remembered_the_newest_first() -> None:
    state = tick(AlertState(), minute(0), DOWN)
    late = fires(catalogue.DATA_STALE, "", ERROR, "late")
    for at, firing in ((1, late), (2, None), (3, None)):
        state = tick(state, minute(at), *([firing] if firing else []))
    assert [(ended.alert.rule, ended.resolved_at) for ended in state.resolved] == [
        ("data_stale", minute(2).timestamp()),
        ("hub_down", minute(1).timestamp()),
    ]
    assert AlertState.from_json(state.to_json()) == state
    table = messages.resolved_list(state.resolved, messages.Links(zone=ZoneInfo("Europe/Paris")))
    assert "- 2026-11-20 13:01 to 13:02: data stale: late" in table


def test_a_restart_goes_on_with_the_same_state() -> None:
    state = tick(AlertState(staleness=Staleness({"0": 5}, 1.5)), minute(0), DOWN)
    again = AlertState.from_json(state.to_json())
    assert again == state
    assert events(tick(again, minute(1), DOWN)) == [("opened", "hub_down")]


def test_a_tick_that_died_after_sending_delivers_twice_rather_than_never() -> None:
    before = AlertState().to_json()
    for _ in range(2):  # the first one's state was never kept
        assert events(tick(AlertState.from_json(before), minute(0), DOWN)) == [("opened", "hub_down")]


FORMER_CURSOR = {
    "open": {
        "occupancy/St Anna/ICU": {
            "page": "occupancy", "subject": "St Anna/ICU", "severity": "critical", "sentence": "96 %",
            "opened_at": 1.0, "seen_at": 2.0, "hold_seconds": 0.0,
        },
        "check-failed/gold/dim_patient/keys_are_unique": {
            "page": "check-failed", "subject": "gold/dim_patient/keys_are_unique", "severity": "warning",
            "sentence": "Twice.", "opened_at": 1.0, "seen_at": 2.0, "hold_seconds": 300.0,
        },
    },
    "untold": {
        "e-mail": [
            {
                "event": "worse",
                "at": 2.0,
                "alert": {
                    "page": "occupancy", "subject": "St Anna/ICU", "severity": "critical", "sentence": "96 %",
                    "opened_at": 1.0, "seen_at": 2.0, "hold_seconds": 0.0,
                },
            }
        ]
    },
    "watch": {"ends": {"0": 7}, "since": 5.0},
}  # fmt: skip


def test_the_cursor_of_the_version_before_goes_on_under_the_new_names() -> None:
    state = AlertState.from_json(json.dumps(FORMER_CURSOR))
    assert list(state.open) == ["occupancy_high/St Anna/ICU", "check_failed/gold/dim_patient/keys_unique"]
    assert events(state) == [("escalated", "occupancy_high/St Anna/ICU")]
    assert state.staleness == Staleness({"0": 7}, 5.0)
    full = fires(catalogue.OCCUPANCY_HIGH, "St Anna/ICU", ERROR, "97 %")
    assert events(tick(mark_delivered(state, "e-mail"), NOON, full)) == [
        ("resolved", "check_failed/gold/dim_patient/keys_unique")
    ]


def test_a_cursor_of_the_version_before_that_is_empty_is_read() -> None:
    assert AlertState.from_json('{"open": {}, "untold": {}, "watch": {}}') == AlertState()


@pytest.mark.parametrize("kept", [None, "", "no JSON", "[]", '{"open": {"a": {"other": 1}}}'])
def test_a_state_of_another_version_is_replaced_by_an_empty_one(kept: str | None) -> None:
    assert AlertState.from_json(kept) == AlertState()


def test_a_channel_that_is_down_keeps_its_own_notes() -> None:
    both = ("e-mail", "Teams")
    state = mark_delivered(tick(AlertState(), minute(0), DOWN, channels=both), "Teams")
    state = tick(state, minute(1), channels=both)
    assert events(state, "Teams") == [("resolved", "hub_down")]
    assert events(state) == [("opened", "hub_down"), ("resolved", "hub_down")]


def test_an_alert_that_could_not_be_evaluated_is_unchanged() -> None:
    state = mark_delivered(tick(AlertState(), minute(0), fires(catalogue.DATA_STALE, "", ERROR, "late")), "e-mail")
    state = tick(state, minute(1), unknown={catalogue.DATA_STALE.name})
    assert list(state.open) == ["data_stale"]


def test_of_two_stores_only_the_alert_of_the_unreadable_one_is_unchanged() -> None:
    stores = [fires(catalogue.STORE_DOWN, store, ERROR, "away") for store in ("lake", "warehouse")]
    state = tick(AlertState(), minute(0), *stores)
    assert list(tick(state, minute(1), unknown={"store_down/lake"}).open) == ["store_down/lake"]


def test_what_happened_once_is_an_alert_for_an_hour() -> None:
    (recreated,) = judge_notices([HubRecreated("patient-flow", NOON)]).firings
    state = tick(AlertState(), minute(0), recreated)
    assert list(tick(state, minute(59)).open) == ["hub_recreated"]
    assert tick(state, minute(60)).open == {}


@pytest.mark.parametrize(("before_first_read", "severity"), [(True, WARNING), (False, ERROR)])
def test_events_dropped_before_the_first_read_are_no_loss(before_first_read: bool, severity: str) -> None:
    (expired,) = judge_notices([EventsExpired("1", 12, before_first_read=before_first_read)]).firings
    assert (expired.rule, expired.finding.severity) == (catalogue.EVENTS_EXPIRED, severity)


def test_patients_data_waits_for_micro_batches_and_not_for_other_jobs() -> None:
    runs = [system.FinishedRun(job, "run", succeeded=False) for job in ("micro_batch", "audit")]
    assert [finding.severity for finding in system.run_failed(runs)] == [ERROR, WARNING]


def test_notices_of_the_hub_are_named() -> None:
    notices = [PartitionAdded("4"), EventsExpired("1", 12), EventsRemaining(7)]
    fired = [firing.rule for firing in judge_notices(notices).firings]
    assert fired == [catalogue.EVENTS_EXPIRED, catalogue.PARTITION_ADDED]


# --- staleness ------------------------------------------------------------------------------------------------------

QUARTER = timedelta(minutes=15)


def observe(
    staleness: Staleness, end: int, read: int, loaded: float | None, at: float, *, newest: float | None = None
) -> tuple[Staleness, list[Finding]]:
    return staleness.observe(
        {"0": end},
        {"0": read},
        None if loaded is None else minute(loaded),
        minute(at),
        QUARTER,
        newest=None if newest is None else minute(newest),
    )


def test_an_idle_hospital_is_never_stale() -> None:
    staleness = Staleness()
    for at in range(0, 600, 10):
        staleness, findings = observe(staleness, 5, 5, 0, at)
        assert findings == []


def test_an_event_after_a_quiet_night_is_not_stale_at_once() -> None:
    staleness, _ = observe(Staleness(), 5, 5, 0, 0)
    staleness, findings = observe(staleness, 6, 5, 0, 480)
    assert findings == []
    assert observe(staleness, 6, 6, 481, 481) == (Staleness(), [])


@pytest.mark.parametrize(("read", "where"), [(5, "not in the lake"), (6, "not in the warehouse")])
def test_events_that_do_not_arrive_in_time_are_stale(read: int, where: str) -> None:
    staleness, _ = observe(Staleness(), 6, 5, 0, 0)
    assert observe(staleness, 9, read, -1, 14)[1] == []
    _, findings = observe(staleness, 9, read, -1, 15)
    assert where in findings[0].message
    assert findings[0].severity is ERROR


def test_under_a_steady_stream_that_flows_nothing_is_stale() -> None:
    staleness = Staleness()
    for at in range(60):
        staleness, findings = observe(staleness, 100 * at + 50, 100 * at, at, at)
        assert findings == []


def test_events_that_stick_in_the_lake_of_a_quiet_hospital_are_stale() -> None:
    staleness, _ = observe(Staleness(), 6, 6, -60, 1, newest=0.5)  # the lake had the event before anybody looked
    assert observe(staleness, 6, 6, -60, 15, newest=0.5)[1] == []
    assert "not in the warehouse" in observe(staleness, 6, 6, -60, 16, newest=0.5)[1][0].message
    assert observe(staleness, 6, 6, 14, 16, newest=0.5) == (Staleness(), [])
    assert observe(Staleness(), 6, 6, 1, 16, newest=0.5) == (Staleness(), [])


def test_silence_opens_its_own_alert_but_not_for_a_hub_without_any_event() -> None:
    limit = timedelta(hours=6)
    assert freshness.no_events(None, NOON, limit) == []
    assert freshness.no_events(minute(-359), NOON, limit) == []
    assert freshness.no_events(minute(-360), NOON, limit)[0].severity is WARNING


# --- occupancy ------------------------------------------------------------------------------------------------------


def hours(*percents: float, department: str = "ICU", until: datetime = NOON) -> pl.DataFrame:
    first = until - timedelta(hours=len(percents) - 1)
    rows = [("St Anna", department, first + timedelta(hours=number), pct) for number, pct in enumerate(percents)]
    return pl.DataFrame(
        rows,
        schema={"hospital": pl.String, "department": pl.String, "at": INSTANT, "occupancy_pct": pl.Float64},
        orient="row",
    )


def full_icu(*percents: float) -> list[BedAlert]:
    return occupancy.full_departments(hours(*percents), Limits(), ZoneInfo("Europe/Paris"))


@pytest.mark.parametrize(
    ("percents", "severity", "hours_ago"),
    [
        ((86, 86), None, 0),  # only one hour so far
        ((86, 86, 86), WARNING, 2),
        ((86, 84, 86), None, 0),
        ((50, 50, 95), ERROR, 0),
        ((86, 86, 82), None, 0),
        ((86, 86, 86, 82), WARNING, 3),  # between the two limits it stays as it was
        ((86, 86, 86, 82, 80), WARNING, 4),
        ((86, 86, 86, 79.9), None, 0),
        ((86, 86, 86, 79.9, 86), None, 0),
        ((95, 82, 82, 96), ERROR, 3),
    ],
)
def test_occupancy_opens_when_it_lasts_and_closes_below_another_limit(
    percents: tuple[float, ...], severity: str | None, hours_ago: int
) -> None:
    found = [(alert.severity, alert.since) for alert in full_icu(*percents)]
    assert found == ([(severity, NOON - timedelta(hours=hours_ago))] if severity else [])


def test_a_department_without_a_row_in_an_hour_was_empty_then() -> None:
    gap = hours(86, 86, 86, 86).filter(pl.col("at") != NOON - timedelta(hours=1))
    assert occupancy.full_departments(gap, Limits(), ZoneInfo("UTC")) == []


def test_an_alert_that_began_before_the_window_says_so() -> None:
    (long,) = full_icu(*[90.0] * 60)
    assert (long.since, long.is_before) == (NOON - timedelta(hours=50), True)
    assert [alert.is_before for alert in full_icu(*[90.0] * 50)] == [False]


def test_the_text_of_an_alert_is_in_local_time_and_both_languages() -> None:
    (over,) = full_icu(104)
    assert over.finding.message == "ICU of St Anna: 104 % full at 13:00 (over-full)."
    assert over.what.fr.startswith("plein à 104 % à ")


@pytest.mark.parametrize(("delayed", "severity"), [(14, None), (15, WARNING), (20, ERROR)])
def test_delays_are_a_share_of_the_patients_in_beds(delayed: int, severity: str | None) -> None:
    due = [NOON - timedelta(hours=number) for number in range(delayed)]
    hospitals = [occupancy.Delays("St Anna", 100, due), occupancy.Delays("Empty", 0)]
    found = occupancy.delayed_hospitals(hospitals, thresholds.DELAYED, NOON)
    assert [alert.severity for alert in found] == ([severity] if severity else [])
    if severity:  # since so many of those who are delayed now could have left
        assert found[0].since == due[delayed - 15]


@pytest.mark.parametrize(
    ("in_beds", "delayed", "english", "french"),
    [
        (
            1,
            1,
            "1 of 1 patient in a bed (100 %) could have left, 1 hour of delay in all",
            "1 patient hospitalisé sur 1 (100 %) aurait pu sortir, 1 heure de retard en tout",
        ),
        (
            5,
            2,
            "2 of 5 patients in beds (40 %) could have left, 2 hours of delay in all",
            "2 patients hospitalisés sur 5 (40 %) auraient pu sortir, 2 heures de retard en tout",
        ),
    ],
)
def test_delays_are_told_in_words_that_agree(in_beds: int, delayed: int, english: str, french: str) -> None:
    hospital = occupancy.Delays("St Anna", in_beds, [NOON - timedelta(hours=1)] * delayed)
    (alert,) = occupancy.delayed_hospitals([hospital], thresholds.DELAYED, NOON)
    assert (alert.what.en, alert.what.fr) == (english, french)


def test_a_department_whose_hours_ended_long_ago_is_no_alert() -> None:
    old = hours(120, department="Closed ward", until=NOON - timedelta(hours=30))
    assert occupancy.full_departments(pl.concat([old, hours(50)]), Limits(), ZoneInfo("UTC")) == []


@pytest.mark.parametrize(("accepted", "quarantined", "is_spike"), [(10, 80, False), (80, 20, True), (81, 19, False)])
def test_a_spike_is_a_share_of_enough_events(accepted: int, quarantined: int, is_spike: bool) -> None:
    assert (
        bool(senders.quarantine_spike(accepted, quarantined, thresholds.QUARANTINE_SPIKE_PCT, min_events=100))
        is is_spike
    )


def test_a_spike_names_the_most_frequent_reasons() -> None:
    (finding,) = senders.quarantine_spike(0, 100, 20, min_events=100, reasons=["a (7 events of hospital 3)", "b"])
    assert finding.message.endswith("(limit 20 %). Most frequent: a (7 events of hospital 3); b.")


# --- texts and runbook ----------------------------------------------------------------------------------------------


def test_one_message_holds_all_news_one_per_line_the_worst_first_each_with_its_page() -> None:
    late = fires(catalogue.NO_EVENTS, "", WARNING, "No hospital has sent an event for 7 hours.")
    state = tick(AlertState(), minute(0), late, DOWN)
    message = messages.compose(state.outbox["e-mail"], messages.Links("https://wiki/runbook", "https://dagster"))
    assert message.subject == "[patient_flow] critical: hub down (and 1 more)"
    assert message.body.index("The hub is down.") < message.body.index("No hospital")
    assert "https://wiki/runbook/hub_down.md" in message.body
    assert "https://wiki/runbook/no_events.md" in message.body
    lines = message.body.split("\n\n")
    assert lines[0] == (
        "CRITICAL: hub down: The hub is down. Since 2026-11-20 12:00. "
        f"{catalogue.HUB_DOWN.action} Runbook: https://wiki/runbook/hub_down.md"
    )
    assert len(lines) == 3
    assert "\n" not in message.body.replace("\n\n", "")


def test_of_many_notes_the_worst_and_newest_are_written_out_and_the_others_counted() -> None:
    state = tick(AlertState(), minute(0), DOWN)
    for at in range(1, 40):
        state = tick(state, minute(at), DOWN, fires(catalogue.STORE_DOWN, f"ward {at}", WARNING, "x" * 5_000))
    body = messages.compose(state.outbox["e-mail"], messages.Links()).body
    assert body.startswith("CRITICAL: hub down")
    assert "ward 39" in body
    assert "ward 20:" not in body
    assert "And 58 more" in body
    assert len(body) < 20_000


def test_a_tick_names_the_worst_faults_and_counts_the_others() -> None:
    full = [fires(catalogue.OCCUPANCY_HIGH, f"ward {number}", ERROR, f"Ward {number} is full.") for number in range(50)]
    stores = [fires(catalogue.STORE_DOWN, f"store {number}", WARNING, "It is away.") for number in range(9)]
    zone = messages.Links(zone=ZoneInfo("Europe/Paris"))
    said = messages.summarize(tick(AlertState(), minute(0), *full, *stores, DOWN).open, zone)
    assert said.startswith("10 open: hub down since 2026-11-20 13:00: The hub is down.")
    assert "and 7 more (asset audit/open_alerts)" in said
    assert said.endswith("50 for bed management (asset audit/open_alerts)")
    assert len(said) < 500
    only_beds = messages.summarize(tick(AlertState(), minute(0), *full).open, zone)
    assert only_beds == "no faults; 50 for bed management (asset audit/open_alerts)"


def test_each_open_alert_is_an_entry_that_the_page_shows_at_once_the_worst_first() -> None:
    path = "/lake/gold/_delta_log/" + 40 * "long/" + "part.parquet"
    full = fires(
        catalogue.DAMAGED_TABLE, "", ERROR, f"{path} | *is*\ndamaged. Launch the job `lake_repair`. {'x ' * 999}"
    )
    late = fires(catalogue.NO_EVENTS, "", WARNING, f"No event for hours. See {catalogue.NO_EVENTS.page}.")
    shown = messages.entries(tick(AlertState(), minute(0), late, full).open.values(), messages.Links())
    assert list(shown) == ["1 critical", "2 warning"]
    assert all(len(text) < 1000 for text in shown.values())
    what, message, action = shown["1 critical"].split("\n\n")
    assert (what, "\n" in message) == ("**damaged table**, since 2026-11-20 12:00", False)
    assert r"/\_delta\_log/" in message.replace("\u200b", "")
    assert max(map(len, message.replace("\u200b", " ").split())) < 40  # the page cuts off longer words
    assert r"\| \*is\* damaged. Launch the job `lake_repair`. x" in message
    assert action.startswith("**To do:** Launch the job `lake_repair`")
    assert action.replace("\u200b", "").endswith(r"See infra/docs/runbook/damaged\_table.md.")
    assert "See" not in shown["2 warning"].split("**To do:**")[1]  # the message names the page
    many = [fires(catalogue.CHECK_FAILED, f"check {number}", WARNING, "x") for number in range(60)]
    assert list(messages.entries(tick(AlertState(), minute(0), *many).open.values(), messages.Links()))[-1] == "more"
    assert messages.entries([], messages.Links()) == {}


def test_a_resolved_alert_states_its_duration() -> None:
    state = tick(mark_delivered(tick(AlertState(), minute(0), DOWN), "e-mail"), minute(90))
    message = messages.compose(state.outbox["e-mail"], messages.Links())
    assert message.subject == "[patient_flow] resolved: hub down"
    assert "open from 2026-11-20 12:00 to 2026-11-20 13:30 (90 min)" in message.body


def test_a_failing_check_speaks_for_itself_and_links_its_own_page() -> None:
    check = system.CheckResult("silver/quarantine", "counts_reconcile", WARNING, "Ask the sender.")
    (finding,) = system.check_failed([check])
    state = tick(AlertState(), minute(0), Firing(catalogue.CHECK_FAILED, finding))
    body = messages.compose(state.outbox["e-mail"], messages.Links("r")).body
    assert "Ask the sender." in body
    assert "r/counts_reconcile.md" in body
