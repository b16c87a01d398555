"""One test per defect that earlier pipelines of this kind share, named by its number; each fails if it comes back.

Only those of silver and gold: 11 (a Delta folder read as Parquet) belongs to the warehouse.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.tables import (
    BRONZE_EVENTS,
    DIM_PATIENT,
    FACT_BED_CENSUS,
    FACT_PATIENT_FLOW,
    IGNORED,
    KPI_DEPARTMENT_DAY,
    LAKE_TABLES,
    QUARANTINE,
    SILVER_EVENTS,
)
from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.builders import (
    ENQUEUED,
    EVENT_STEPS,
    STEPS,
    ZONE,
    Body,
    Delivery,
    accepted,
    at,
    contents,
    deliveries,
    department,
    department_list,
    event,
    run_micro_batches,
    snapshot,
)
from patient_flow_tests.scenarios.agreement import computed

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

ICU = department(staffed_beds=10, expected_los_hours=48.0)
EMERGENCY = department(department="Emergency", staffed_beds=20, expected_los_hours=6.0)
LIST = department_list(ICU, EMERGENCY)


def commit_accepted(lake: Lake, batches: Iterable[Sequence[Delivery]], steps: Sequence[str] = EVENT_STEPS) -> None:
    """The steps for one batch after another."""
    run_micro_batches(lake, batches, LIST, steps=steps)


def gold(*bodies: Body) -> dict[str, pl.DataFrame]:
    """Silver and gold of these events, which the hub takes when the newest of them happens, without a lake."""
    return computed(at_once(bodies), LIST)


def at_once(bodies: Sequence[Body]) -> list[Delivery]:
    """``bodies`` as the hub takes them one after the other when the newest of them happens, by 22 March."""
    happened = [body.get("event_time") or body["admission_time"] for body in bodies]
    return deliveries(bodies, start=min(ENQUEUED, max(map(_instant, happened))), every=1e-3)


def _instant(stated: str) -> datetime:
    instant = datetime.fromisoformat(stated)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def visit(number: int, admitted: str, discharged: str | None = None, **fields: Any) -> list[Body]:
    """Admission and discharge of one patient."""
    named = {"visit_id": f"v{number}", "patient_id": f"p{number}", **fields}
    bodies = [event(event_time=at(admitted), **named)]
    if discharged:
        bodies.append(event(**{**named, "department": None}, event_type="discharge", event_time=at(discharged)))
    return bodies


def in_batches(*batches: Sequence[Body]) -> list[list[Delivery]]:
    """Batches of events, one partition, numbered on."""
    received = iter(at_once([body for batch in batches for body in batch]))
    return [[next(received) for _ in batch] for batch in batches]


def test_defect_01_keys_never_restart(lake: Lake) -> None:
    """Two runs with new patients each: as many keys as patients, and joins that double nothing."""
    first, second = visit(1, "10:00") + visit(2, "10:00"), visit(3, "11:00") + visit(4, "11:00")
    commit_accepted(lake, in_batches(first, second))
    patients, facts = contents(lake, DIM_PATIENT), contents(lake, FACT_PATIENT_FLOW)
    assert patients["patient_key"].n_unique() == patients.height == 4 + 1
    assert facts.join(patients, on="patient_key").height == facts.height == 4


def test_defect_02_a_patient_who_returns_is_the_same_patient_with_one_more_version(lake: Lake) -> None:
    commit_accepted(
        lake,
        in_batches(visit(1, "10:00", "11:00", age=42), visit(2, "10:00 +1", patient_id="p1", age=43)),
    )
    patients = contents(lake, DIM_PATIENT).filter(pl.col("patient_key") != 0).sort("valid_from")
    assert patients["patient_id"].n_unique() == 1
    assert patients["age"].to_list() == [42, 43]
    assert 0 not in contents(lake, FACT_PATIENT_FLOW)["patient_key"]


def test_defect_03_every_visit_of_a_patient_is_kept(lake: Lake) -> None:
    first, second = visit(1, "10:00", "12:00"), visit(2, "10:00 +1", "12:00 +1", patient_id="p1")
    commit_accepted(lake, in_batches(first, second))
    assert contents(lake, FACT_PATIENT_FLOW)["visit_id"].n_unique() == 2


def test_defect_04_a_fact_joins_the_version_valid_at_its_admission() -> None:
    """Valid from when it happened, not from when it was processed; the past keeps its past."""
    frames = gold(*visit(1, "10:00", "11:00", gender="F", age=42), *visit(2, "10:00 +1", patient_id="p1", age=43))
    versions = frames["gold/dim_patient"].filter(pl.col("patient_key") != 0)
    assert versions["valid_from"].sort().to_list() == [at("10:00"), at("10:00 +1")]
    joined = frames["gold/fact_patient_flow"].join(versions, on="patient_key").sort("admission_at")
    assert joined["age"].to_list() == [42, 43]


@pytest.mark.parametrize("hours", [1, 6, 24])
def test_defect_05_occupancy_counts_beds_not_rows(hours: int) -> None:
    """Half of ten beds are taken, and stay so however many patients have come and gone before."""
    lying = [body for number in range(5) for body in visit(number, "23:00 -1")]
    gone = [
        body for number in range(10, 10 + hours) for body in visit(number, f"00:{number:02}", f"00:{number + 1:02}")
    ]
    clock = event(
        visit_id="tick", event_type="triage", department=None, event_time=at("23:00 -1") + timedelta(hours=hours)
    )
    frames = gold(*lying, *gone, clock)
    newest = frames["gold/fact_bed_census"].filter(pl.col("time_key") == pl.col("time_key").max())
    joined = newest.join(frames["gold/dim_department"], on="department_key")
    assert joined["occupied_beds"].sum() / joined["staffed_beds"].max() == 0.5


def test_defect_05_occupancy_is_not_clipped() -> None:
    frames = gold(*(body for number in range(13) for body in visit(number, "10:00")))
    assert frames["gold/fact_bed_census"]["occupied_beds"].to_list() == [13]


def test_defect_06_genders_of_a_department_add_up_to_the_department() -> None:
    """Numerators are by department and gender, the denominator is the department's, whoever lies in it."""
    people = [("Female", "ICU"), ("Female", "Emergency"), ("Male", "ICU"), (None, "ICU")]
    frames = gold(
        *(
            body
            for number, (gender, place) in enumerate(people)
            for body in visit(number, "10:00", "14:00", gender=gender, department=place)
        )
    )
    measured = frames["gold/kpi_department_day"].join(frames["gold/dim_department"], on="department_key")
    icu = measured.filter(pl.col("department") == "ICU").sort("gender")
    assert icu["occupied_bed_hours"].to_list() == [4, 4, 0, 4]
    assert icu["gender"].to_list() == ["Female", "Male", "Other", "Unknown"]
    assert icu["staffed_bed_hours"].unique().to_list() == [50.0]
    shares = icu["occupied_bed_hours"] / icu["staffed_bed_hours"]
    assert shares.sum() == pytest.approx(12 / 50)


@pytest.mark.parametrize("age", [101, 120, 0])
def test_defect_07_a_plausible_age_is_kept(age: int) -> None:
    assert accepted([event(age=age)], LIST)["age"].to_list() == [age]


@pytest.mark.parametrize("age", [121, 150, -5, 4.5, "old", True])
def test_defect_07_an_impossible_age_becomes_null_and_never_another_age(age: object) -> None:
    silver = accepted([event(age=age)], LIST)
    assert silver["age"].to_list() == [None]
    assert silver["quality_flags"].to_list() == [["age_is_out_of_range"]]
    assert accepted([event(age=age)], LIST).equals(silver)


@pytest.mark.parametrize("time", [at("00:00 +9"), None])
def test_defect_08_no_time_is_made_up(time: object, lake: Lake) -> None:
    """A future or missing admission is quarantined with its body, not moved to now."""
    commit_accepted(lake, [deliveries([snapshot(admission_time=time, discharge_time=at("01:00 +10"))])])
    assert contents(lake, SILVER_EVENTS).is_empty()
    (reasons,) = contents(lake, QUARANTINE)["reasons"].to_list()
    assert reasons in (["admission_is_in_the_future"], ["admission_time_is_unusable"])


def test_defect_08_no_length_of_stay_is_negative() -> None:
    frames = gold(
        *visit(1, "10:00", "09:00"),
        event(visit_id="v1", patient_id="p1", event_type="transfer", event_time=at("08:00")),
    )
    assert (frames["gold/fact_patient_flow"]["length_of_stay_hours"].drop_nulls() >= 0).all()


def test_defect_09_overstay_is_measured_against_what_the_department_expects() -> None:
    """Seven hours are long in the emergency department and short in the ICU; fifty are not the limit anywhere."""
    frames = gold(*visit(1, "01:00", "08:00"), *visit(2, "01:00", "08:00", department="Emergency"))
    measured = frames["gold/kpi_department_day"].join(frames["gold/dim_department"], on="department_key")
    overstays = measured.group_by("department").agg(pl.col("overstays").sum())
    assert dict(overstays.iter_rows()) == {"ICU": 0, "Emergency": 1}


def test_defect_10_open_stays_are_visible_in_the_fact() -> None:
    """Open is asked when somebody asks: a planned discharge is a time, and the answer turns by itself."""
    booleans = {column.name for column in FACT_PATIENT_FLOW.columns if column.dtype == pl.Boolean()}
    assert booleans == {"is_visit_start", "is_visit_end", "is_transfer", "is_day_case", "is_observation"}
    facts = gold(snapshot(admission_time=at("10:00"), discharge_time=at("15:00 +1")))["gold/fact_patient_flow"]

    def in_bed(now: str) -> int:
        return facts.filter(pl.col("discharge_at").is_null() | (pl.col("discharge_at") > at(now))).height

    assert (in_bed("14:59 +1"), in_bed("15:00 +1")) == (1, 0)


def test_defect_12_every_table_has_exactly_the_columns_and_types_that_are_declared(lake: Lake) -> None:
    """As the files have them, not as a reader casts them."""
    commit_accepted(lake, in_batches(visit(1, "10:00", "12:00")), steps=STEPS)
    for table in LAKE_TABLES:
        if table.is_forecast:
            continue  # made hourly, not by a micro-batch
        assert pl.scan_delta(DeltaTable(lake.uri(table))).collect_schema() == table.schema, table.path


@pytest.mark.parametrize("body", [event(), event(event_id=None), snapshot()], ids=["named", "unnamed", "reference"])
def test_defect_13_a_redelivered_event_is_counted_once(body: Body, lake: Lake) -> None:
    """In the same batch, in the next one and a month later."""
    first, later = in_batches([body, body], [body, body])
    later[1] = later[1]._replace(enqueued_at=ENQUEUED + timedelta(days=30))
    commit_accepted(lake, [first, later])
    assert contents(lake, SILVER_EVENTS).height == 1
    if "event_type" in body:
        assert contents(lake, QUARANTINE)["reasons"].to_list() == [["event_is_a_duplicate"]] * 3
    else:
        assert contents(lake, IGNORED)["name"].to_list() == ["already_received"] * 3
    assert contents(lake, FACT_PATIENT_FLOW).height == 1
    assert contents(lake, KPI_DEPARTMENT_DAY)["admissions"].sum() == 1


def test_defect_14_unknown_attributes_are_kept(lake: Lake) -> None:
    """And bronze knows where each body came from."""
    body = event(triage_level=2, vitals={"pulse": 71})
    commit_accepted(lake, [deliveries([body])])
    (extra,) = contents(lake, SILVER_EVENTS)["extra"]
    assert json.loads(extra) == {"triage_level": 2, "vitals": {"pulse": 71}}
    bronze = contents(lake, BRONZE_EVENTS)
    assert json.loads(bronze["body"].item()) == body
    assert bronze.select("partition_id", "sequence_number", "offset", "enqueued_at").row(0) == ("0", 0, "0", ENQUEUED)


def test_defect_15_no_row_is_lost_between_silver_and_quarantine(lake: Lake) -> None:
    """A null is neither in a list nor not in it: bodies full of nulls must end in one of the two all the same."""
    fields = list(event())
    bodies: list[Body | bytes] = [{**event(visit_id=f"v{turn}"), name: None} for turn, name in enumerate(fields)]
    bodies += [{**event(), name: junk} for name in fields for junk in ("", [], {"a": 1}, -1e300)]
    bodies += [b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"event_type": null}']
    commit_accepted(lake, [deliveries(bodies)])
    assert sum(lake.open(table).row_count() for table in (SILVER_EVENTS, IGNORED, QUARANTINE)) == len(bodies)
    assert contents(lake, QUARANTINE)["reasons"].list.len().min() >= 1


def test_defect_15_a_transfer_moves_the_bed() -> None:
    """Each hour counts the patient in one department, the one in which the patient lies."""
    moved = event(visit_id="v1", patient_id="p1", event_type="transfer", event_time=at("12:00"), department="Emergency")
    frames = gold(*visit(1, "10:00", "14:00"), moved)
    hours = frames["gold/fact_bed_census"].join(frames["gold/dim_department"], on="department_key").sort("time_key")
    assert hours.select(pl.col("time_key") % 100, "department").rows() == [
        (10, "ICU"),
        (11, "ICU"),
        (12, "Emergency"),
        (13, "Emergency"),
    ]


def test_defect_15_who_was_there_before_the_first_hour_of_the_data_is_in_bed(lake: Lake) -> None:
    """The admission comes last and is days old: it fills the hours that were counted without it."""
    commit_accepted(lake, in_batches(visit(2, "10:00", "11:00"), visit(1, "10:00 -3")))
    assert contents(lake, FACT_BED_CENSUS).height == 3 * 24 + 2
    assert contents(lake, FACT_BED_CENSUS).filter(time_key=2026032010)["occupied_beds"].to_list() == [2]


def test_defect_16_a_late_event_is_as_good_as_an_early_one(lake: Lake) -> None:
    """No watermark: neither newer events nor one that claims to be in the future make the pipeline skip it."""
    ahead = event(visit_id="v9", event_time=at("00:00 +9"))
    commit_accepted(lake, in_batches([ahead, *visit(1, "10:00 +1")], visit(2, "10:00 -40", "12:00 -40")))
    facts = contents(lake, FACT_PATIENT_FLOW)
    assert facts["admission_at"].sort().to_list() == [at("10:00 -40"), at("10:00 +1")]


def test_defect_16_of_two_statements_at_one_instant_it_is_always_the_same_that_counts() -> None:
    """Not an arbitrary one: the order is total, and the hub's own where two happen at once."""
    received = deliveries([event(event_id="b", age=40), event(event_id="a", age=41)])
    ages = {
        tuple(computed(order, LIST)["gold/dim_patient"]["age"].drop_nulls()) for order in (received, received[::-1])
    }
    assert ages == {(41,)}


def test_defect_17_every_instant_has_a_zone_and_every_date_is_the_hospitals() -> None:
    """Naive timestamps are UTC; the night of 28 March in UTC is the 29th in Paris."""
    assert all(
        column.dtype == INSTANT
        for table in LAKE_TABLES
        for column in table.columns
        if isinstance(column.dtype, pl.Datetime)
    )
    naive, offset = "2026-03-19T23:30:00", "2026-03-20T00:30:00+01:00"
    frames = gold(event(event_time=naive), event(visit_id="v2", event_time=offset))
    assert frames["gold/fact_patient_flow"]["admission_at"].unique().to_list() == [at("23:30 -1")]
    measured = frames["gold/kpi_department_day"].filter(pl.col("admissions") > 0)
    assert (measured["date"].to_list(), ZONE) == ([at("00:00").date()], "Europe/Paris")
