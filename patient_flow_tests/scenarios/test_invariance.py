"""Guarantee 2 through real Delta tables: however the events come, silver and gold end the same, keys included.

One lake gets everything in one micro-batch, another the same events cut, reordered, interrupted; nothing is ignored in
the comparison. What the tables then hold is the oracle's business: agreement is asserted as well.
"""

from __future__ import annotations

import random
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_DEPARTMENT,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.pipeline import folding, incremental, moves
from patient_flow.pipeline import received as received_rows
from patient_flow.pipeline.flow import visits_without_stay
from patient_flow.pipeline.rebuild import rebuild, reset
from patient_flow.stores.lake import key_index
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests import oracle
from patient_flow_tests.builders import (
    EVENT_STEPS,
    SECRET,
    STEPS,
    Delivery,
    at,
    contents,
    deliveries,
    event,
    receive,
    run_micro_batches,
    run_step,
    snapshot,
    step_context,
)
from patient_flow_tests.examples import scaled
from patient_flow_tests.scenarios import hospital_days
from patient_flow_tests.scenarios.agreement import (
    assert_agreement,
    assert_census_is_up_to_the_newest_event,
    assert_places_of_events,
    assert_quality,
    assert_same,
    everything,
)
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.stacks import Stack

MEASURED = (DIM_DEPARTMENT, FACT_PATIENT_FLOW, FACT_BED_CENSUS, KPI_DEPARTMENT_DAY)
"""What depends on the department list."""

LINES = list(DEPARTMENTS.iter_rows(named=True))

Lakes = Callable[[int], AbstractContextManager[list[Lake]]]
"""The fixture ``lakes``: so many empty ones, for as long as a ``with`` block lasts."""

DAY: list[dict[str, Any]] = [
    event(event_type="arrival", event_time=at("08:00")),
    event(event_time=at("08:40")),
    event(event_type="transfer", event_time=at("12:00"), department="Surgery"),
    event(event_type="update", event_time=at("12:30"), department=None, wait_minutes=33, age=43),
    event(event_type="discharge", event_time=at("15:10 +2"), department=None),
    event(visit_id="v2", event_time=at("09:00"), department="Helipad", patient_id="p2", gender=None),
    event(visit_id="v2", event_type="discharge", event_time=at("20:00 +1"), department=None, patient_id="p2"),
    event(visit_id="v2", event_type="cancel_discharge", event_time=at("20:05 +1"), department=None, patient_id="p2"),
    event(visit_id="v3", event_time=at("07:00"), gender=None, age=41),
    event(visit_id="v4", event_time=at("10:00"), patient_id="p3"),
    event(visit_id="v4", event_type="discharge", event_time=at("09:00 +2"), department=None, patient_id="p3"),
    snapshot(patient_id="p4", admission_time=at("11:00"), discharge_time=at("11:00 +1")),
    snapshot(patient_id="p4", admission_time=at("11:00"), discharge_time=at("08:00 +2")),
    snapshot(patient_id="p4", admission_time=at("11:00"), discharge_time=at("08:00 +2")),
    event(event_type="discharge", event_time=at("15:10 +2"), department=None, bed_id="another body"),
]
"""One of everything: moves, corrections, a late first observation, a cancel, a restated plan, a redelivery, a reuse."""


ARRAYS = ParserConfig(DEPARTMENTS, SECRET, unwrap=parse_mappings('unwrap = "array"', "arrays.toml").unwrap)


def assert_as_in_one_batch(
    lake: Lake, received: Sequence[Delivery], alone: Lake, parser: ParserConfig | pl.DataFrame = DEPARTMENTS
) -> None:
    """``lake`` holds what ``alone`` holds after taking in everything at once, and what the oracle says."""
    run_micro_batches(alone, [received], parser, steps=EVENT_STEPS)
    verdict = oracle.validate(received, LINES)
    for either in (alone, lake):
        assert_places_of_events(either, verdict)
        assert_census_is_up_to_the_newest_event(either, verdict)
        assert_quality(either, verdict)
    frames = everything(lake)
    assert_agreement(frames, verdict, DEPARTMENTS)
    assert_same(frames, everything(alone))


def shuffled(seed: int, partitions: int = 3) -> list[Delivery]:
    """:data:`DAY` at the hub, in some order, in some partitions."""
    dice = random.Random(seed)
    bodies = dice.sample(DAY, len(DAY))
    return hospital_days.at_the_hub(bodies, [dice.randrange(partitions) for _ in bodies])


def split(received: Sequence[Delivery], seed: int, number: int = 4) -> list[list[Delivery]]:
    """``received`` in ``number`` micro-batches, each partition in its own order but read at its own pace."""
    dice = random.Random(seed)
    cut: list[list[Delivery]] = [[] for _ in range(number)]
    for partition in sorted({item.partition for item in received}):
        items = [item for item in received if item.partition == partition]
        turns = sorted(dice.randrange(number) for _ in items)
        for turn, item in zip(turns, items, strict=True):
            cut[turn].append(item)
    return [batch for batch in cut if batch]


def test_any_split_and_any_pace_of_the_partitions_ends_in_the_same_tables(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an index of every file too, which tables have once they are large."""

    # shrinking lakes takes minutes
    @settings(max_examples=2 if stack.is_slow else scaled(5), phases=(Phase.explicit, Phase.reuse, Phase.generate))
    @given(st.data())
    def they_end_the_same(data: st.DataObject) -> None:
        day = data.draw(st.sampled_from((hospital_days.consistent_days(), hospital_days.messy_days(most_events=14))))
        received = data.draw(hospital_days.deliveries(day))
        batches = data.draw(hospital_days.batches(received))
        monkeypatch.setattr(key_index, "MAX_UNKNOWN_ROWS", data.draw(st.sampled_from((0, 4, 100_000))))
        with stack.lakes(2) as (lake, alone):
            run_micro_batches(lake, batches, DEPARTMENTS, steps=EVENT_STEPS)
            assert_as_in_one_batch(lake, received, alone)

    they_end_the_same()


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_day_with_one_of_everything_ends_the_same_in_many_small_batches(lakes: Lakes) -> None:
    """Some events come alone, others several in a body, and one body is empty."""
    day = [item.body for item in shuffled(0)]
    bodies = [*day[:5], day[5:7], [], day[7:11], day[11:12], *day[12:]]
    received = hospital_days.at_the_hub(bodies, [turn % 3 for turn in range(len(bodies))])
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, split(received, 0, number=6), ARRAYS, steps=EVENT_STEPS)
        assert_as_in_one_batch(lake, received, alone, ARRAYS)


@pytest.mark.embedded_only("what the steps decide, on any storage")
@pytest.mark.parametrize("seed", [0, 3])
def test_steps_may_run_in_any_order_twice_or_not_at_all(lakes: Lakes, seed: int) -> None:
    """Assets are materialised one by one, late, repeatedly: once all have run the tables are those of one batch."""
    dice = random.Random(seed)
    received = shuffled(seed)
    with lakes(2) as (lake, alone):
        for batch in split(received, seed):
            receive(lake, batch)
            for step in dice.choices(EVENT_STEPS, k=len(EVENT_STEPS)):
                run_step(step, lake, DEPARTMENTS)
        for step in EVENT_STEPS:
            run_step(step, lake, DEPARTMENTS)
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_steps_in_the_opposite_order_catch_up_batch_after_batch(lakes: Lakes) -> None:
    received = shuffled(1)
    with lakes(2) as (lake, alone):
        for batch in split(received, 1):
            receive(lake, batch)
            for step in reversed(EVENT_STEPS):
                run_step(step, lake, DEPARTMENTS)
        for step in EVENT_STEPS:
            run_step(step, lake, DEPARTMENTS)
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_step_that_has_nothing_new_to_do_writes_nothing(lakes: Lakes) -> None:
    with lakes(1) as (lake,):
        run_micro_batches(lake, [shuffled(0)], DEPARTMENTS)
        before = {step: run_step(step, lake, DEPARTMENTS).version for step in STEPS}
        again = [run_step(step, lake, DEPARTMENTS) for step in STEPS]
        assert {result.table.path: result.version for result in again} == {
            result.table.path: before[step] for step, result in zip(STEPS, again, strict=True)
        }
        assert all((result.written.inserted, result.written.updated) == (0, 0) for result in again)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_tables_made_part_by_part_are_the_tables_made_at_once(lakes: Lakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild computes a bounded number of rows at a time, and so does a large micro-batch."""
    received = shuffled(3)
    with lakes(2) as (lake, alone):
        with monkeypatch.context() as patch:
            make_small_parts(patch)
            patch.setattr(folding, "SHARED_ATTENDANCES", 1)
            run_micro_batches(lake, split(received, 3, number=2), DEPARTMENTS, steps=EVENT_STEPS)
        assert_as_in_one_batch(lake, received, alone)


def make_small_parts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(incremental, "EVENTS_AT_ONCE", 4)
    patch.setattr(incremental, "STAYS_AT_ONCE", 1)
    patch.setattr(received_rows, "ROWS_AT_ONCE", 2)
    patch.setattr(moves, "COORDINATES_AT_ONCE", 4)


@pytest.mark.embedded_only("what the steps keep, on any storage")
@pytest.mark.parametrize("is_whole", [True, False])
def test_stays_of_a_part_have_left_memory_when_the_next_part_is_folded(
    lakes: Lakes, monkeypatch: pytest.MonkeyPatch, is_whole: bool
) -> None:
    made: list[weakref.ref[pl.DataFrame]] = []
    present: list[int] = []
    fold = folding.fold

    def noting_fold(*arguments: Any, **named: Any) -> Any:
        present.append(sum(stays() is not None for stays in made))
        folded = fold(*arguments, **named)
        made.append(weakref.ref(folded.stays))
        return folded

    make_small_parts(monkeypatch)
    monkeypatch.setattr(folding, "fold", noting_fold)
    steps = EVENT_STEPS[: EVENT_STEPS.index("fact_patient_flow") + 1]
    with lakes(1) as (lake,):
        if not is_whole:
            run_micro_batches(lake, [shuffled(3)[:1]], DEPARTMENTS, steps=steps)
            made.clear()
            present.clear()
        run_micro_batches(lake, [shuffled(3)[0 if is_whole else 1 :]], DEPARTMENTS, steps=steps)
    assert len(present) > 2
    # A whole table is folded ahead: the part before is being committed.
    assert max(present) <= (1 if is_whole else 0)


class Killed(Exception):
    """The process died here."""


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_tables_of_which_a_part_was_made_are_whole_although_events_come_and_go_before_the_next_run(
    lakes: Lakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bronze loses the newest event, so fewer hours count; each table is made again, dies once, and an event comes."""
    months = [event(visit_id=f"m{days}", patient_id="p7", event_time=at(f"10:00 -{days}")) for days in (60, 30)]
    end = event(visit_id="m60", patient_id="p7", event_type="discharge", event_time=at("09:00 -25"), department=None)
    kept = deliveries([*months, end, *DAY, {"rubbish": True}, {}, *DAY[-4:]])
    newest = kept[-1].enqueued_at
    gone, *coming = (
        Delivery(event(visit_id=f"w{n}", event_time=at("10:00 -60")), newest + timedelta(hours=hours), "0", 100 + n)
        for n, hours in enumerate([3, 6, 5, 2, 1])
    )
    dying = {IGNORED, QUARANTINE, FACT_BED_CENSUS, KPI_DEPARTMENT_DAY}
    replace, came = LakeTable.replace, list(kept)

    def replace_and_die(self: LakeTable, *arguments: Any, **named: Any) -> Any:
        written = replace(self, *arguments, **named)
        if self.table in dying:
            dying.remove(self.table)
            raise Killed
        return written

    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [[*kept, gone]], DEPARTMENTS, steps=EVENT_STEPS)
        assert lake.open(BRONZE_EVENTS).delete("sequence_number = 100", {}) == 1
        for table in (IGNORED, QUARANTINE, KPI_DEPARTMENT_DAY):
            reset(lake, table)
        make_small_parts(monkeypatch)
        monkeypatch.setattr(LakeTable, "replace", replace_and_die)
        while dying:
            with pytest.raises(Killed):
                run_micro_batches(lake, [came[len(kept) :]], DEPARTMENTS, steps=EVENT_STEPS)
            came = [*kept, coming[len(dying)]]
        run_micro_batches(lake, [came[len(kept) :]], DEPARTMENTS, steps=EVENT_STEPS)
        monkeypatch.undo()
        assert_as_in_one_batch(lake, [*kept, *coming], alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
@pytest.mark.parametrize("dies", ["before its commit", "after its commit"])
def test_a_run_killed_at_any_write_and_started_again_ends_the_same(
    lakes: Lakes, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of two micro-batches dies once, before or after its commit; the run then starts over."""
    received = shuffled(5)
    survived: set[tuple[int, str, str]] = set()
    turn = 0

    def deadly(name: str) -> None:
        write = getattr(LakeTable, name)

        def wrapped(table: LakeTable, *args: Any, **kwargs: Any) -> Any:
            moment = (turn, table.table.path, name)
            if table.table is BRONZE_EVENTS or moment in survived:
                return write(table, *args, **kwargs)
            survived.add(moment)
            if dies == "after its commit":
                write(table, *args, **kwargs)
            raise Killed(*moment)

        monkeypatch.setattr(LakeTable, name, wrapped)

    make_small_parts(monkeypatch)
    for name in ("append", "overwrite", "_merge"):
        deadly(name)
    with lakes(2) as (lake, alone):
        for turn, batch in enumerate(split(received, 5, number=2)):  # noqa: B007 (the writes look at it)
            receive(lake, batch)
            while True:
                try:
                    for step in EVENT_STEPS:
                        run_step(step, lake, DEPARTMENTS)
                    break
                except Killed:
                    continue
        assert len(survived) > len(EVENT_STEPS)
        monkeypatch.undo()
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_visits_without_a_placement_are_counted_until_they_have_one(lake: Lake) -> None:
    arrived = [event(visit_id=visit, event_type="update", department=None) for visit in ("v1", "v2")]
    received = deliveries([*arrived, event(visit_id="v2", event_time=at("10:30"))])
    run_micro_batches(lake, [received[:2]], DEPARTMENTS, steps=EVENT_STEPS)
    assert visits_without_stay(lake) == 2
    run_micro_batches(lake, [received[2:]], DEPARTMENTS, steps=EVENT_STEPS)
    assert visits_without_stay(lake) == 1


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_correction_of_the_wait_alone_reaches_the_measures(lakes: Lakes) -> None:
    """Neither admission nor discharge moves, yet the day's measures are no longer what they were."""
    first = [event(event_type="arrival", event_time=at("08:00")), event(event_time=at("08:40"))]
    late = [event(event_type="update", event_time=at("08:40"), department=None, wait_minutes=5)]
    received = deliveries([*first, *late])
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:2], received[2:]], DEPARTMENTS, steps=EVENT_STEPS)
        measured = contents(lake, KPI_DEPARTMENT_DAY).filter(waits=1)
        assert measured["wait_minutes_sum"].to_list() == [5.0]
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_second_patient_in_the_middle_of_a_long_stay_counts_on_every_day_of_it(lakes: Lakes) -> None:
    """The census rows of the days in between are there already; they change in nothing but their count."""
    bodies = [
        body
        for visit in ("v1", "v2")
        for body in (
            event(visit_id=visit, patient_id=visit, event_time=at("10:00")),
            event(visit_id=visit, patient_id=visit, event_type="discharge", event_time=at("10:00 +3"), department=None),
        )
    ]
    received = deliveries(bodies, start=hospital_days.ENQUEUED)
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:2], received[2:]], DEPARTMENTS, steps=EVENT_STEPS)
        measured = contents(lake, KPI_DEPARTMENT_DAY).filter(date=at("00:00 +2").date(), gender="Female")
        assert measured["occupied_bed_hours"].max() == 48
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_gender_stated_by_another_visit_at_the_same_instant_reaches_the_fact(lakes: Lakes) -> None:
    """The patient's version keeps its key and its beginning; only what it says of the patient changes."""
    received = deliveries(
        [event(visit_id="v1", gender=None), event(visit_id="v2", event_type="triage", department=None, gender="Male")]
    )
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:1], received[1:]], DEPARTMENTS, steps=EVENT_STEPS)
        assert contents(lake, FACT_PATIENT_FLOW)["gender"].to_list() == ["Male"]
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_fact_computed_before_its_department_was_inferred_finds_it_later(lakes: Lakes) -> None:
    received = deliveries([event(), event(visit_id="v2", department="Helipad")])
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:1]], DEPARTMENTS, steps=EVENT_STEPS)
        receive(lake, received[1:])
        for step in ("accept_events", "fact_patient_flow", *EVENT_STEPS):
            run_step(step, lake, DEPARTMENTS)
        keys = set(contents(lake, DIM_DEPARTMENT)["department_key"]) - {0}
        assert set(contents(lake, FACT_PATIENT_FLOW)["department_key"]) <= keys
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_fact_computed_before_its_patient_was_known_finds_the_version_later(lakes: Lakes) -> None:
    received = deliveries([event(), event(visit_id="v2", patient_id="p2")])
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:1]], DEPARTMENTS, steps=EVENT_STEPS)
        receive(lake, received[1:])
        for step in ("accept_events", "fact_patient_flow", *EVENT_STEPS):
            run_step(step, lake, DEPARTMENTS)
        assert set(contents(lake, FACT_PATIENT_FLOW)["patient_key"]) == set(
            contents(lake, DIM_PATIENT)["patient_key"]
        ) - {0}
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_reasons_follow_the_event_that_holds_the_identity_in_the_end(lakes: Lakes) -> None:
    """Three events share an identity; the first at the hub comes last, and differs: no copy is its duplicate."""
    body = event()
    received = [
        Delivery({**body, "age": 50}, at("12:00 +2"), "slow", 0),
        Delivery(body, at("12:01 +2"), "fast", 0),
        Delivery(body, at("12:02 +2"), "fast", 1),
    ]
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[1:], received[:1]], DEPARTMENTS, steps=EVENT_STEPS)
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_an_event_that_reached_the_hub_first_displaces_the_one_that_reached_us_first(lakes: Lakes) -> None:
    received = [
        Delivery(event(age=50), at("12:00 +2"), "slow", 0),
        Delivery(event(age=42), at("12:01 +2"), "fast", 0),
    ]
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[1:], received[:1]], DEPARTMENTS, steps=EVENT_STEPS)
        assert contents(lake, SILVER_EVENTS)["age"].to_list() == [50]
        assert contents(lake, DIM_PATIENT)["age"].drop_nulls().to_list() == [50]
        assert_as_in_one_batch(lake, received, alone)


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_corrected_capacity_of_a_department_reaches_the_measures_of_the_past(lakes: Lakes) -> None:
    """The list is edited in place: same department, same valid_from, other beds and expected stay."""
    is_corrected = pl.col("department") == "Surgery"
    reference = DEPARTMENTS.with_columns(
        staffed_beds=pl.when(is_corrected).then(99).otherwise("staffed_beds"),
        expected_los_hours=pl.when(is_corrected).then(1.0).otherwise("expected_los_hours"),
    )
    received = shuffled(2)
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received], DEPARTMENTS, steps=EVENT_STEPS)
        for step in EVENT_STEPS:
            run_step(step, lake, reference)
        run_micro_batches(alone, [received], reference, steps=EVENT_STEPS)
        assert_same(everything(lake), everything(alone))


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_a_department_taken_off_the_list_keeps_its_patients(lake: Lake) -> None:
    """It is a department that only events name from then on, as a rebuild says; what events were flagged for stays."""
    received = deliveries([event(department="Surgery"), event(visit_id="v2", patient_id="p2", event_time=at("12:00"))])
    shorter = DEPARTMENTS.filter(pl.col("department") != "Surgery")
    run_micro_batches(lake, [received[:1]], DEPARTMENTS, steps=EVENT_STEPS)
    run_micro_batches(lake, [received[1:]], shorter, steps=EVENT_STEPS)

    surgery = contents(lake, DIM_DEPARTMENT).filter(hospital_id="1", department="Surgery")
    assert surgery["is_inferred"].to_list() == [True]
    assert surgery["department_key"].item() in contents(lake, FACT_PATIENT_FLOW)["department_key"]
    measured = {table.path: contents(lake, table) for table in MEASURED}
    list(rebuild(step_context(lake, shorter)))
    for table in MEASURED:
        flags = [name for name in table.schema if name == "quality_flags"]
        assert measured[table.path].drop(flags).to_dicts() == contents(lake, table).drop(flags).to_dicts(), table.path


@pytest.mark.embedded_only("what the steps decide, on any storage")
def test_an_admission_stated_in_advance_joins_the_version_that_another_visit_creates(lakes: Lakes) -> None:
    """All events of the visit are earlier than the version, its admission is not."""
    received = deliveries(
        [
            event(event_time=at("10:00"), admission_time=at("10:04"), patient_id="p2"),
            event(event_type="update", event_time=at("10:02"), department=None, patient_id="p2", age=51),
            event(visit_id="v2", event_type="triage", event_time=at("10:03"), department=None, patient_id="p2", age=52),
        ],
        start=hospital_days.ENQUEUED,
    )
    with lakes(2) as (lake, alone):
        run_micro_batches(lake, [received[:2], received[2:]], DEPARTMENTS, steps=EVENT_STEPS)
        second = contents(lake, DIM_PATIENT).filter(age=52)["patient_key"]
        assert contents(lake, FACT_PATIENT_FLOW)["patient_key"].to_list() == second.to_list()
        assert_as_in_one_batch(lake, received, alone)
