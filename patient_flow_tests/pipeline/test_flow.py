"""The facts follow what changes touch beyond the visit: merges, other numbers, repeats, the list, the setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from patient_flow.contracts.events import IMPORTED
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_ED_ATTENDANCE,
    FACT_PATIENT_FLOW,
    KPI_DEPARTMENT_DAY,
)
from patient_flow.pipeline import flow, folding, incremental
from patient_flow.pipeline.checkpoints import FOLDED_WITH
from patient_flow.pipeline.recomputation import Basis, waiting_visits
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.errors import CommitConflict
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.visits.fold import fold
from patient_flow_tests.builders import (
    EVENT_STEPS,
    ZONE,
    Body,
    Delivery,
    at,
    contents,
    deliveries,
    department,
    department_list,
    event,
    run_micro_batches,
    run_step,
    snapshot,
    step_context,
)

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

Lakes = Callable[[int], AbstractContextManager[list[Lake]]]

LISTED = department_list(
    *(
        department(department=name, valid_from=datetime(1999, 1, 1, tzinfo=UTC), **{"class": kind})
        for name, kind in (("Emergency", "emergency"), ("ICU", "critical_care"), ("Surgery", "inpatient"))
    )
)
FACTS = (DIM_PATIENT, FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE, FACT_BED_CENSUS, KPI_DEPARTMENT_DAY)
FACT_STEPS = ("fact_patient_flow", "fact_ed_attendance", "fact_bed_census", "kpi_department_day")


def merge(stays: str, gives_up: str, clock: str) -> Body:
    named = {"patient_id": stays, "merged_patient_id": gives_up, "visit_id": None, "department": None}
    return event(event_type="merge_patient", event_time=at(clock), event_id=f"{gives_up} to {stays}", **named)


def as_at_once(lakes: Lakes, batches: Sequence[Sequence[Delivery]]) -> dict[str, pl.DataFrame]:
    """The facts after these micro-batches, which are those of all events at once."""
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, batches, LISTED, steps=EVENT_STEPS)
        run_micro_batches(alone, [[item for batch in batches for item in batch]], LISTED, steps=EVENT_STEPS)
        found = {table.name: contents(lake, table) for table in FACTS}
        for table in FACTS:
            assert found[table.name].equals(contents(alone, table)), table.path
    return found


def each(bodies: Sequence[Body]) -> list[list[Delivery]]:
    """One micro-batch for each of ``bodies``."""
    return [[item] for item in deliveries(bodies)]


VISITS = [
    event(visit_id="v1", patient_id="A", event_time=at("08:00"), gender="Female"),
    event(visit_id="v2", patient_id="B", event_time=at("08:00 +1"), department="Surgery", gender=None, age=70),
    event(visit_id="v3", patient_id="C", event_time=at("07:00"), gender="Male"),
]


def patients_of(facts: dict[str, pl.DataFrame]) -> set[str]:
    joined = facts["fact_patient_flow"].join(facts["dim_patient"], on="patient_key")
    return set(joined["patient_id"])


@pytest.mark.parametrize("merges", [[("C", "B"), ("B", "A")], [("B", "A"), ("C", "B")]], ids=["reversed", "in order"])
def test_a_merge_that_comes_last_gives_the_survivor_all_stays(lakes: Lakes, merges: list[tuple[str, str]]) -> None:
    clocks = {("B", "A"): "09:00 +1", ("C", "B"): "10:00 +1"}
    facts = as_at_once(lakes, each([*VISITS, *(merge(*pair, clocks[pair]) for pair in merges)]))
    assert len(patients_of(facts)) == 1
    assert facts["dim_patient"].filter(pl.col("patient_key") != 0)["patient_id"].n_unique() == 1


def test_events_of_a_number_that_was_given_up_are_the_survivors(lakes: Lakes) -> None:
    facts = as_at_once(lakes, each([merge("B", "A", "07:00"), *VISITS[:2]]))
    assert len(patients_of(facts)) == 1


def test_a_merge_that_loses_its_identity_to_another_event_is_undone(lakes: Lakes) -> None:
    """The first of the identity at the hub comes last to us, and merges somebody else."""
    first = Delivery({**merge("C", "A", "09:00 +1"), "event_id": "merge"}, at("00:00 +2"), "slow", 0)
    second = Delivery({**merge("B", "A", "09:00 +1"), "event_id": "merge"}, at("00:01 +2"), "fast", 0)
    facts = as_at_once(lakes, [deliveries(VISITS), [second], [first]])
    assert len(patients_of(facts)) == 2


def test_a_ward_under_another_number_answers_an_attendance_of_an_earlier_batch(lakes: Lakes) -> None:
    emergency = snapshot(
        visit_id="e", department="Emergency", admission_time=at("08:00"), discharge_time=at("12:10"), bed_id=None
    )
    ward = snapshot(visit_id="w", department="Surgery", admission_time=at("12:00"), discharge_time=None)
    facts = as_at_once(lakes, each([emergency, ward]))
    assert facts["fact_ed_attendance"].select("outcome", "minutes_in_department").rows() == [("admitted", 240)]
    assert facts["fact_patient_flow"]["wait_minutes"].drop_nulls().to_list() == [240]


def test_a_patient_who_is_placed_elsewhere_leaves_the_census_of_the_first_bed(lakes: Lakes) -> None:
    first = event(visit_id="v1", event_time=at("08:00"))
    second = event(visit_id="v2", event_time=at("08:00 +1"), department="Surgery")
    facts = as_at_once(lakes, each([first, second]))
    assert facts["fact_bed_census"]["occupied_beds"].max() == 1
    assert facts["fact_bed_census"]["time_key"].is_unique().all()


def test_a_repeated_snapshot_confirms_its_stay_and_is_no_new_event(lakes: Lakes) -> None:
    body = snapshot(visit_id="v1", admission_time=at("08:00 -200"), discharge_time=None)
    nights = [
        Delivery(body, at("02:00 -200") + timedelta(days=night, hours=12), "0", night) for night in range(0, 200, 40)
    ]
    later = event(visit_id="v2", patient_id="p2", event_time=at("10:00"))
    facts = as_at_once(lakes, [[night] for night in nights] + [[Delivery(later, at("10:00"), "0", 999)]])
    stay = facts["fact_patient_flow"].sort("admission_at").row(0, named=True)
    assert stay["last_confirmed_at"] == nights[-1].enqueued_at
    assert stay["confirmed_until"] == nights[-1].enqueued_at + timedelta(days=90)
    hours = (at("10:00") - at("08:00 -200")) // timedelta(hours=1) + 1
    census = facts["fact_bed_census"].group_by("time_key").agg(pl.col("occupied_beds").sum())
    assert census.height == hours


def test_a_stay_of_the_year_2000_costs_its_confirmed_hours(lakes: Lakes) -> None:
    old = snapshot(visit_id="v1", admission_time="2000-01-01T00:00:00", discharge_time=None)
    facts = as_at_once(lakes, [[Delivery(old, at("08:00"), "0", 0)]])
    assert facts["fact_bed_census"].height == 90 * 24 + 1
    staffed = facts["kpi_department_day"].drop_nulls("staffed_bed_hours")["date"].unique()
    assert staffed.len() == 90 + 2  # the days of Paris that 90 UTC days touch, and today


def test_a_class_that_the_list_gains_makes_a_stay_an_attendance(lake: Lake) -> None:
    run_micro_batches(lake, [deliveries([event()])], LISTED, steps=EVENT_STEPS)
    assert contents(lake, FACT_ED_ATTENDANCE).is_empty()
    changed = LISTED.with_columns(
        pl.when(pl.col("department") == "ICU").then(pl.lit("emergency")).otherwise("class").alias("class")
    )
    for step in ("dim_department", *FACT_STEPS):
        run_step(step, lake, changed)
    assert contents(lake, FACT_ED_ATTENDANCE).height == 1
    assert contents(lake, FACT_PATIENT_FLOW)["stay_kind"].to_list() == ["emergency"]


def test_another_setting_confirms_open_stays_for_another_time(lake: Lake) -> None:
    run_micro_batches(lake, [deliveries([event()])], LISTED, steps=EVENT_STEPS)
    result = flow.fact_patient_flow(step_context(lake, LISTED, unconfirmed_days=10))
    assert result.written.updated == 1
    assert contents(lake, FACT_PATIENT_FLOW)["confirmed_until"].to_list() == [at("10:00 +10")]


class Killed(Exception):
    """The process died here."""


def as_emergency(*names: str) -> pl.DataFrame:
    return LISTED.with_columns(
        pl.when(pl.col("department").is_in(names)).then(pl.lit("emergency")).otherwise("class").alias("class")
    )


def test_a_changed_list_is_taken_over_within_the_limit_of_a_run(lakes: Lakes) -> None:
    """F20: the visits of the changed department wait, and whatever comes between ends as if all were made at once."""
    bodies = [event(visit_id=f"v{number}", patient_id=f"p{number}") for number in range(5)]
    bodies += [event(visit_id=f"w{number}", patient_id=f"q{number}", department="Surgery") for number in range(5)]
    changed = as_emergency("ICU")
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [deliveries(bodies)], LISTED, steps=EVENT_STEPS)
        run_step("dim_department", lake, changed)
        waiting, written = [waiting_visits(lake, ZONE, 90)], []
        for _ in range(4):
            context = replace(step_context(lake, changed), max_events=2)
            results = [flow.fact_patient_flow(context), flow.fact_ed_attendance(context)]
            written.append([result.written.updated + result.written.inserted for result in results])
            waiting.append(waiting_visits(lake, ZONE, 90))
        assert waiting == [5, 3, 1, 0, 0]
        assert written == [[2, 2], [2, 2], [1, 1], [0, 0]]
        run_micro_batches(alone, [deliveries(bodies)], changed, steps=EVENT_STEPS)
        for table in (FACT_PATIENT_FLOW, FACT_ED_ATTENDANCE):
            assert contents(lake, table).equals(contents(alone, table)), table.path


def test_a_stay_that_begins_at_the_discharge_of_a_snapshot_is_found_again(lake: Lake) -> None:
    """F7: who has left by the time of the snapshot has moved before it. Days later another event touches the visit."""
    stated = {"visit_id": "v1", "admission_time": at("10:00 -20"), "discharge_time": None}
    first = snapshot(**stated, event_time=at("10:00 -19"))
    moved = snapshot(**{**stated, "discharge_time": at("15:00 -10")}, event_time=at("12:00 -5"), department="Surgery")
    updated = event(event_type="update", event_time=at("13:00 -5"), department=None)
    received = deliveries([first, moved, updated])
    run_micro_batches(lake, [received[:2]], LISTED, steps=EVENT_STEPS)
    begins = [at("10:00 -20"), at("15:00 -10")]
    assert contents(lake, FACT_PATIENT_FLOW).sort("stay_number")["admission_at"].to_list() == begins
    run_micro_batches(lake, [received[2:]], LISTED, steps=EVENT_STEPS)
    assert contents(lake, FACT_PATIENT_FLOW).sort("stay_number")["admission_at"].to_list() == begins


def test_all_visits_wait_where_a_run_died_between_two_parts_of_a_whole_table(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = [event(visit_id=f"v{number}", patient_id=f"p{number}") for number in range(5)]
    before_facts = EVENT_STEPS[: EVENT_STEPS.index("fact_patient_flow")]
    run_micro_batches(lake, [deliveries(bodies)], LISTED, steps=before_facts)
    assert waiting_visits(lake, ZONE, 90) == 0, "they are new"
    replaced = LakeTable.replace

    def replace_and_die(self: LakeTable, *arguments: Any, **named: Any) -> Any:
        replaced(self, *arguments, **named)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(incremental, "EVENTS_AT_ONCE", 2)
        patch.setattr(LakeTable, "replace", replace_and_die)
        with pytest.raises(Killed):
            flow.fact_patient_flow(step_context(lake, LISTED))
    assert waiting_visits(lake, ZONE, 90) == 5
    flow.fact_patient_flow(step_context(lake, LISTED))
    assert waiting_visits(lake, ZONE, 90) == 0


def test_a_list_that_changes_back_while_visits_wait_leaves_nothing_of_the_change(lake: Lake) -> None:
    bodies = [event(visit_id=f"v{number}", patient_id=f"p{number}") for number in range(4)]
    run_micro_batches(lake, [deliveries(bodies)], LISTED, steps=EVENT_STEPS)
    before = contents(lake, FACT_PATIENT_FLOW)
    for listed in (as_emergency("ICU"), LISTED, LISTED, LISTED):
        run_step("dim_department", lake, listed)
        flow.fact_patient_flow(replace(step_context(lake, listed), max_events=2))
        flow.fact_ed_attendance(replace(step_context(lake, listed), max_events=2))
    assert contents(lake, FACT_PATIENT_FLOW).equals(before)
    assert contents(lake, FACT_ED_ATTENDANCE).is_empty()
    assert waiting_visits(lake, ZONE, 90) == 0


def test_another_setting_is_taken_over_within_the_limit_of_a_run(lake: Lake) -> None:
    bodies = [event(visit_id=f"v{number}", patient_id=f"p{number}") for number in range(3)]
    ended = event(visit_id="v0", patient_id="p0", event_type="discharge", event_time=at("12:00"))
    run_micro_batches(lake, [deliveries([*bodies, ended])], LISTED, steps=EVENT_STEPS)
    assert waiting_visits(lake, ZONE, 10) == 2  # the ended one needs no confirmation
    until = []
    for _ in range(2):
        flow.fact_patient_flow(replace(step_context(lake, LISTED, unconfirmed_days=10), max_events=1))
        until.append(contents(lake, FACT_PATIENT_FLOW)["confirmed_until"].drop_nulls().to_list())
    assert sorted(until[0]) == [at("10:00 +10"), at("10:00 +90")]
    assert until[1] == [at("10:00 +10")] * 2


def test_both_facts_share_one_fold_and_each_folds_by_itself_too(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    folds: list[int] = []
    bodies = [
        event(event_type="arrival", department="Emergency", event_time=at("08:00")),
        event(visit_id="v2", patient_id="p2"),
    ]

    def counted(*arguments: Any, **named: Any) -> Any:
        folds.append(1)
        return fold(*arguments, **named)

    monkeypatch.setattr(folding, "fold", counted)
    with lakes(2) as (lake, alone):
        for target in (lake, alone):
            run_micro_batches(target, [deliveries(bodies)], LISTED, steps=EVENT_STEPS[:-5])
        folds.clear()
        for step in ("fact_patient_flow", "fact_ed_attendance"):
            run_step(step, lake, LISTED)
        assert len(folds) == 1
        run_step("fact_ed_attendance", alone, LISTED)
        assert len(folds) == 2
        assert contents(lake, FACT_ED_ATTENDANCE).equals(contents(alone, FACT_ED_ATTENDANCE))


def test_a_fact_that_is_behind_finds_its_rows_where_they_began_before(lakes: Lakes) -> None:
    """A file is withdrawn and comes again with later times; attendances follow only then, stays each time."""

    def visit(clock: str) -> Body:
        return event(event_type="arrival", department="Emergency", event_time=at(clock))

    def of_file(name: str, clock: str) -> list[Delivery]:
        return [Delivery(visit(clock), at("12:00"), f"{IMPORTED}{name}", 0, at("12:00"))]

    hub = deliveries([event(visit_id="v9", patient_id="p9")])
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [[*hub, *of_file("B", "08:00 -70")]], LISTED, steps=EVENT_STEPS)
        assert lake.open(BRONZE_EVENTS).delete(f"partition_id = '{IMPORTED}B'", {}) == 1
        run_micro_batches(lake, [[]], LISTED, steps=(*EVENT_STEPS[:-5], "fact_patient_flow"))
        run_micro_batches(lake, [of_file("C", "08:00 -30")], LISTED, steps=EVENT_STEPS)
        run_micro_batches(alone, [[*hub, *of_file("C", "08:00 -30")]], LISTED, steps=EVENT_STEPS)
        assert contents(lake, FACT_ED_ATTENDANCE).equals(contents(alone, FACT_ED_ATTENDANCE))


def test_a_fold_whose_commit_was_lost_is_made_again_whole(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attendances that were kept of it are no fold for the stays."""
    later = Delivery(event(visit_id="v2", patient_id="p2"), at("11:00"), "0", 99)
    run_micro_batches(lake, [deliveries([event()])], LISTED, steps=EVENT_STEPS)
    run_micro_batches(lake, [[later]], LISTED, steps=EVENT_STEPS[:-5])
    lost: list[str] = []
    replace_rows = LakeTable.replace

    def losing(self: LakeTable, *arguments: Any, **named: Any) -> Any:
        if self.table is FACT_PATIENT_FLOW and not lost:
            lost.append("the race")
            raise CommitConflict("another writer committed first")
        return replace_rows(self, *arguments, **named)

    monkeypatch.setattr(LakeTable, "replace", losing)
    for step in ("fact_patient_flow", "fact_ed_attendance"):
        run_step(step, lake, LISTED)
    assert lost
    assert contents(lake, FACT_PATIENT_FLOW)["stay_kind"].to_list() == ["ward"] * 2


def test_facts_of_older_rules_are_made_again_once(lake: Lake) -> None:
    run_micro_batches(lake, [deliveries([event()])], LISTED, steps=EVENT_STEPS)
    expected = contents(lake, FACT_PATIENT_FLOW)
    opened = lake.open(FACT_PATIENT_FLOW)
    older = expected.with_columns(is_visit_start=pl.lit(value=False))
    opened.replace(expected, older, FOLDED_WITH.of("rules of an older version"))
    assert run_step("fact_patient_flow", lake, LISTED).written.updated == 1
    assert contents(lake, FACT_PATIENT_FLOW).equals(expected)
    assert run_step("fact_patient_flow", lake, LISTED).written.updated == 0
    assert Basis(ZONE, 90, lake.open(DIM_DEPARTMENT)).is_recorded(lake.open(FACT_PATIENT_FLOW))


def test_clusters_stay_whole_when_a_table_is_made_part_by_part(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[Any] = [*VISITS, merge("C", "B", "10:00 +1"), merge("B", "A", "09:00 +1")]
    bodies += [event(visit_id=f"w{number}", patient_id=f"q{number}") for number in range(6)]
    received = deliveries(bodies)
    with lakes(2) as (lake, alone):
        with monkeypatch.context() as patch:
            patch.setattr("patient_flow.pipeline.incremental.EVENTS_AT_ONCE", 2)
            run_micro_batches(lake, [received[:7], received[7:]], LISTED, steps=EVENT_STEPS)
        run_micro_batches(alone, [received], LISTED, steps=EVENT_STEPS)
        for table in FACTS:
            assert contents(lake, table).equals(contents(alone, table)), table.path


@pytest.mark.parametrize("appends", [1, 2])
def test_stays_of_a_run_that_died_between_two_parts_go_with_their_events(
    lakes: Lakes, appends: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is withdrawn after some stays of its visits were appended: silver's net changes never name these."""
    kept = deliveries([*VISITS, event(visit_id="v8", patient_id="p8"), event(visit_id="v9", patient_id="p9")])
    rows = [event(visit_id=f"w{number}", patient_id=f"q{number}") for number in range(4)]
    withdrawn = [Delivery(body, at("12:00"), f"{IMPORTED}B", number, at("12:00")) for number, body in enumerate(rows)]
    append, left = LakeTable.append, appends

    def append_and_die(self: LakeTable, *arguments: Any, **named: Any) -> int:
        nonlocal left
        version = append(self, *arguments, **named)
        left -= self.table is FACT_PATIENT_FLOW
        if not left:
            raise KeyboardInterrupt
        return version

    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [kept[:-2]], LISTED, steps=EVENT_STEPS)
        with monkeypatch.context() as patch:
            patch.setattr("patient_flow.pipeline.incremental.EVENTS_AT_ONCE", 1)
            patch.setattr(LakeTable, "append", append_and_die)
            with pytest.raises(KeyboardInterrupt):
                run_micro_batches(lake, [[*withdrawn, *kept[-2:]]], LISTED, steps=EVENT_STEPS)
        assert lake.open(BRONZE_EVENTS).delete(f"partition_id = '{IMPORTED}B'", {}) == len(withdrawn)
        run_micro_batches(lake, [[]], LISTED, steps=EVENT_STEPS)
        run_micro_batches(alone, [kept], LISTED, steps=EVENT_STEPS)
        for table in FACTS:
            assert contents(lake, table).equals(contents(alone, table)), table.path
