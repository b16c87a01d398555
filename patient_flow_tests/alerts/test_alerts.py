"""Each alert is told once, and once when it is over; nothing is lost by a restart or a channel that is down."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from patient_flow.alerts import findings as found
from patient_flow.alerts import texts
from patient_flow.alerts.ledger import CRITICAL, WARNING, Finding, Ledger, changes, reconcile, told
from patient_flow.monitoring.notices import EventsExpired, EventsRemaining, HubRecreated, PartitionAdded

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUNBOOK = Path(__file__).parents[2] / "infra" / "docs" / "runbook"
LIMITS = found.OccupancyLimits()


def minute(number: float) -> datetime:
    return NOON + timedelta(minutes=number)


def look(
    ledger: Ledger,
    at: datetime,
    *findings: Finding,
    channels: tuple[str, ...] = ("e-mail",),
    unknown: Collection[str] = (),
) -> Ledger:
    return reconcile(ledger, changes(ledger.open, findings, at, unknown), channels, at)


def events(ledger: Ledger, channel: str = "e-mail") -> list[tuple[str, str]]:
    return [(note.event, note.alert.key) for note in ledger.untold[channel]]


DOWN = Finding(found.HUB_DOWN, "", CRITICAL, "The hub is down.")


def test_an_alert_is_told_once_and_once_when_it_is_over() -> None:
    ledger = look(Ledger(), minute(0), DOWN)
    assert events(ledger) == [("opened", "hub-down")]
    ledger = look(told(ledger, "e-mail"), minute(1), DOWN)
    assert events(ledger) == []
    ledger = look(ledger, minute(2))
    assert events(ledger) == [("closed", "hub-down")]
    assert look(told(ledger, "e-mail"), minute(3)).untold == {"e-mail": ()}


def test_what_gets_critical_is_told_again() -> None:
    warning = Finding(found.OCCUPANCY, "St Anna/ICU", WARNING, "86 %")
    ledger = told(look(Ledger(), minute(0), warning), "e-mail")
    ledger = look(ledger, minute(1), Finding(found.OCCUPANCY, "St Anna/ICU", CRITICAL, "96 %"))
    assert events(ledger) == [("worse", "occupancy/St Anna/ICU")]
    assert events(look(told(ledger, "e-mail"), minute(2), warning)) == []


def test_a_restart_goes_on_with_the_same_ledger() -> None:
    ledger = look(Ledger(watch={"since": 1.5}), minute(0), DOWN)
    again = Ledger.from_json(ledger.to_json())
    assert again == ledger
    assert events(look(again, minute(1), DOWN)) == [("opened", "hub-down")]


def test_a_tick_that_died_after_sending_tells_twice_rather_than_never() -> None:
    before = Ledger().to_json()
    for _ in range(2):  # the first one's ledger was never kept
        assert events(look(Ledger.from_json(before), minute(0), DOWN)) == [("opened", "hub-down")]


@pytest.mark.parametrize("kept", [None, "", "no JSON", "[]", '{"open": {"a": {"other": 1}}}'])
def test_a_ledger_of_another_version_starts_anew(kept: str | None) -> None:
    assert Ledger.from_json(kept) == Ledger()


def test_a_channel_that_is_down_keeps_its_own_notes() -> None:
    both = ("e-mail", "Teams")
    ledger = told(look(Ledger(), minute(0), DOWN, channels=both), "Teams")
    ledger = look(ledger, minute(1), channels=both)
    assert events(ledger, "Teams") == [("closed", "hub-down")]
    assert events(ledger) == [("opened", "hub-down"), ("closed", "hub-down")]


def test_what_nobody_could_look_at_stays_as_it_is() -> None:
    ledger = told(look(Ledger(), minute(0), Finding(found.STALE, "", CRITICAL, "late")), "e-mail")
    ledger = look(ledger, minute(1), unknown={found.STALE})
    assert list(ledger.open) == ["data-is-stale"]


def test_of_two_stores_only_the_one_nobody_could_look_at_stays_as_it_is() -> None:
    stores = [Finding(found.STORE_DOWN, store, CRITICAL, "away") for store in ("lake", "warehouse")]
    ledger = look(Ledger(), minute(0), *stores)
    assert list(look(ledger, minute(1), unknown={"store-down/lake"}).open) == ["store-down/lake"]


def test_what_happened_once_is_an_alert_for_an_hour() -> None:
    (recreated,) = found.of_notices([HubRecreated("patient-flow", NOON)])
    ledger = look(Ledger(), minute(0), recreated)
    assert list(look(ledger, minute(59)).open) == ["hub-recreated"]
    assert look(ledger, minute(60)).open == {}


@pytest.mark.parametrize(("before_first_read", "severity"), [(True, WARNING), (False, CRITICAL)])
def test_what_a_hub_dropped_before_anybody_wanted_it_is_no_loss_of_ours(before_first_read: bool, severity: str) -> None:
    (lost,) = found.of_notices([EventsExpired("1", 12, before_first_read=before_first_read)])
    assert (lost.page, lost.severity) == (found.EVENTS_LOST, severity)


def test_patients_data_waits_for_micro_batches_and_not_for_other_jobs() -> None:
    runs = [found.FinishedRun(job, "run", succeeded=False) for job in ("micro_batch", "audit")]
    assert [finding.severity for finding in found.of_runs(runs)] == [CRITICAL, WARNING]


def test_notices_of_the_hub_are_named() -> None:
    notices = [PartitionAdded("4"), EventsExpired("1", 12), EventsRemaining(7)]
    assert [finding.page for finding in found.of_notices(notices)] == [found.NEW_PARTITION, found.EVENTS_LOST]


# --- staleness ------------------------------------------------------------------------------------------------------

QUARTER = timedelta(minutes=15)


def stale(
    watch: dict[str, object], end: int, read: int, loaded: float | None, at: float
) -> tuple[dict[str, object], bool]:
    loaded_at = None if loaded is None else minute(loaded)
    watch, findings = found.staleness(watch, {"0": end}, {"0": read}, loaded_at, minute(at), QUARTER)
    return watch, bool(findings)


def test_an_idle_hospital_is_never_stale() -> None:
    watch: dict[str, object] = {}
    for at in range(0, 600, 10):
        watch, is_stale = stale(watch, 5, 5, 0, at)
        assert not is_stale


def test_an_event_after_a_quiet_night_is_not_stale_at_once() -> None:
    watch, _ = stale({}, 5, 5, 0, 0)
    watch, is_stale = stale(watch, 6, 5, 0, 480)
    assert not is_stale
    watch, is_stale = stale(watch, 6, 6, 481, 481)
    assert (watch, is_stale) == ({}, False)


@pytest.mark.parametrize(("read", "where"), [(5, "not in the lake"), (6, "not in the warehouse")])
def test_events_that_do_not_arrive_in_time_are_stale(read: int, where: str) -> None:
    watch, _ = stale({}, 6, 5, 0, 0)
    assert not stale(watch, 9, read, -1, 14)[1]
    _, findings = found.staleness(watch, {"0": 9}, {"0": read}, minute(-1), minute(15), QUARTER)
    assert where in findings[0].sentence


def test_under_a_steady_stream_that_flows_nothing_is_stale() -> None:
    watch: dict[str, object] = {}
    for at in range(60):
        watch, is_stale = stale(watch, 100 * at + 50, 100 * at, at, at)
        assert not is_stale


def test_events_that_stick_in_the_lake_of_a_quiet_hospital_are_stale() -> None:
    def seen(watch: dict[str, object], loaded: float, at: float) -> tuple[dict[str, object], list[Finding]]:
        return found.staleness(watch, {"0": 6}, {"0": 6}, minute(loaded), minute(at), QUARTER, newest=minute(0.5))

    watch, _ = seen({}, -60, 1)  # the lake had the event before anybody looked
    assert not seen(watch, -60, 15)[1]
    assert "not in the warehouse" in seen(watch, -60, 16)[1][0].sentence
    assert seen(watch, 14, 16) == ({}, [])
    assert seen({}, 1, 16) == ({}, [])


def test_silence_is_its_own_alert_and_a_hub_that_never_had_events_says_nothing() -> None:
    limit = timedelta(hours=6)
    assert found.silence(None, NOON, limit) == []
    assert found.silence(minute(-359), NOON, limit) == []
    assert found.silence(minute(-360), NOON, limit)[0].page == found.SILENCE


# --- occupancy ------------------------------------------------------------------------------------------------------


def hours(*percents: float) -> list[found.DepartmentHour]:
    first = NOON - timedelta(hours=len(percents) - 1)
    return [
        found.DepartmentHour("St Anna", "ICU", first + timedelta(hours=number), pct)
        for number, pct in enumerate(percents)
    ]


@pytest.mark.parametrize(
    ("percents", "is_open", "severity"),
    [
        ((86, 86), False, None),  # only one hour so far
        ((86, 86, 86), False, WARNING),
        ((86, 84, 86), False, None),
        ((50, 50, 95), False, CRITICAL),
        ((86, 86, 82), False, None),
        ((86, 86, 82), True, WARNING),  # between the two limits it stays as it was
        ((86, 86, 79.9), True, None),
        ((86, 86, 80), True, WARNING),
    ],
)
def test_occupancy_opens_when_it_lasts_and_closes_below_another_limit(
    percents: tuple[float, ...], is_open: bool, severity: str | None
) -> None:
    findings = found.occupancy(hours(*percents), {"St Anna/ICU"} if is_open else set(), LIMITS)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


def test_a_department_whose_hours_ended_long_ago_is_no_alert() -> None:
    old = [found.DepartmentHour("St Anna", "Closed ward", NOON - timedelta(hours=30), 120)]
    assert found.occupancy([*old, *hours(50)], set(), LIMITS) == []


@pytest.mark.parametrize(("accepted", "quarantined", "is_spike"), [(10, 80, False), (80, 20, True), (81, 19, False)])
def test_a_spike_is_a_share_of_enough_events(accepted: int, quarantined: int, is_spike: bool) -> None:
    assert bool(found.quarantine(accepted, quarantined, 20)) is is_spike


# --- texts and runbook ----------------------------------------------------------------------------------------------


def test_one_message_holds_all_news_the_worst_first_each_with_its_page() -> None:
    late = Finding(found.SILENCE, "", WARNING, "No hospital has sent an event for 7 hours.")
    ledger = look(Ledger(), minute(0), late, DOWN)
    message = texts.message(ledger.untold["e-mail"], texts.Links("https://wiki/runbook", "https://dagster"))
    assert message.subject == "[patient_flow] critical: hub down (and 1 more)"
    assert message.body.index("The hub is down.") < message.body.index("No hospital")
    assert "https://wiki/runbook/hub-down.md" in message.body
    assert "https://wiki/runbook/no-events.md" in message.body


def test_of_many_notes_the_worst_and_newest_are_written_out_and_the_others_counted() -> None:
    ledger = look(Ledger(), minute(0), DOWN)
    for at in range(1, 40):
        ledger = look(ledger, minute(at), DOWN, Finding(found.OCCUPANCY, f"ward {at}", WARNING, "x" * 5_000))
    body = texts.message(ledger.untold["e-mail"], texts.Links()).body
    assert body.startswith("CRITICAL: hub down")
    assert "ward 39" in body
    assert "ward 20\n" not in body
    assert "And 58 more" in body
    assert len(body) < 20_000


def test_a_tick_names_the_worst_and_counts_the_others() -> None:
    full = [Finding(found.OCCUPANCY, f"ward {number}", WARNING, f"Ward {number} is full.") for number in range(50)]
    said = texts.open_alerts(look(Ledger(), minute(0), *full, DOWN).open)
    assert said.startswith("51 open: hub down since")
    assert said.endswith("and 43 more")
    assert len(said) < 1_000


def test_the_end_says_how_long_it_was() -> None:
    ledger = look(told(look(Ledger(), minute(0), DOWN), "e-mail"), minute(90))
    message = texts.message(ledger.untold["e-mail"], texts.Links())
    assert message.subject == "[patient_flow] over: hub down"
    assert "from 2026-11-20 12:00 UTC to 2026-11-20 13:30 UTC (90 min)" in message.body


def test_a_failing_check_speaks_for_itself_and_links_its_own_page() -> None:
    check = found.CheckResult("silver/quarantine", "few_events", False, False, "Ask the sender.")
    (finding,) = found.of_checks([check])
    ledger = look(Ledger(), minute(0), finding)
    body = texts.message(ledger.untold["e-mail"], texts.Links("r", pages=frozenset({"few_events"}))).body
    assert "Ask the sender." in body
    assert "r/few_events.md" in body
    assert "r/check-failed.md" in texts.message(ledger.untold["e-mail"], texts.Links("r")).body


@pytest.mark.parametrize("page", found.PAGES)
def test_every_alert_has_its_page(page: str) -> None:
    text = (RUNBOOK / f"{page}.md").read_text()
    for heading in ("## What it means", "## How to see more", "## What to do", "## When it is over"):
        assert heading in text


def test_every_page_is_on_the_index_and_every_page_of_an_alert_has_one() -> None:
    index = (RUNBOOK / "README.md").read_text()
    pages = {path.stem for path in RUNBOOK.glob("*-*.md")} | {found.OCCUPANCY}
    assert pages == set(found.PAGES)
    assert [page for page in found.PAGES if f"({page}.md)" not in index] == []
