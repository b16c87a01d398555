"""``patient-flow reconcile``: an extract names what the stream lacks, and corrects it where the rules say so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from patient_flow.cli import cli
from patient_flow.contracts.tables import BRONZE_EVENTS, DIM_DEPARTMENT, FACT_PATIENT_FLOW, QUARANTINE, SILVER_EVENTS
from patient_flow.definitions import build_defs
from patient_flow.errors import OperatorError
from patient_flow.importing import Options
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rules.arrival import all_events_arrive_once
from patient_flow.monitoring.rules.reconciliation import counts_reconcile
from patient_flow.operations import step_context, verify_warehouse
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.inspection import all_bronze_events, reconciliation_counts
from patient_flow.pipeline.known import known_at
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.reconciling import Outcome, reconcile, undo
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.transforms.reconciliation import Kind
from patient_flow_tests.builders import Body, Delivery, at, bronze, event
from patient_flow_tests.importing.test_import import table_of
from patient_flow_tests.scenarios.agreement import assert_same, everything
from patient_flow_tests.stacks import Stack

TAKEN = at("05:00 +3")
"""06:00 in Paris."""
RULES = '[[rule]]\nwins = ["admission", "transfer", "discharge", "confirmation"]\n'


@pytest.fixture
def services(stack: Stack, tmp_path: Path) -> Iterator[Services]:
    (tmp_path / "rules.toml").write_text(RULES)
    settings = {**stack.settings(), "PATIENT_FLOW_EXTRACT_RULES": str(tmp_path / "rules.toml")}
    made = Services(load(settings, environ={}))
    yield made
    made.warehouse.dispose()


def admitted(visit: int, clock: str, **more: Any) -> Body:
    return event(visit_id=f"v{visit}", patient_id=f"p{visit}", event_time=at(clock), **more)


def later(kind: str, visit: int, clock: str, **more: Any) -> Body:
    more.setdefault("department", None)
    return admitted(visit, clock, event_type=kind, **more)


def receive(services: Services, bodies: Sequence[Body], *, first: int = 0, enqueued_at: datetime | None = None) -> None:
    """Events reach the hub a minute after they happen, unless ``enqueued_at`` is later."""
    rows = [
        Delivery(body, enqueued_at or datetime.fromisoformat(body["event_time"]) + timedelta(minutes=1), "0", number)
        for number, body in enumerate(bodies, start=first)
    ]
    services.lake.open(BRONZE_EVENTS).append(bronze(rows), {})


def listed(visit: int, department: str, clock: str, **more: Any) -> Body:
    stated = {"visit_id": f"v{visit}", "patient_id": f"p{visit}", "hospital_id": "1", "department": department}
    return {**stated, "admission_time": at(clock).isoformat(), "discharge_time": "", "gender": "Male", **more}


def run(services: Services, *paths: Path, **options: Any) -> tuple[Outcome, str]:
    outcome = Outcome()
    lines = reconcile(services, [str(path) for path in paths], Options(TAKEN, **options), outcome)
    return outcome, "\n".join(lines)


def in_bed(services: Services, moment: datetime, hospital: str = "1") -> dict[str, int]:
    """Patients in bed by department."""
    lake = services.lake
    is_there = (pl.col("admission_at") <= moment) & (
        pl.col("discharge_at").is_null() | (pl.col("discharge_at") > moment)
    )
    places = lake.open(DIM_DEPARTMENT).scan().select("department_key", "hospital_id", "department")
    rows = lake.open(FACT_PATIENT_FLOW).scan().filter(is_there).join(places, on="department_key")
    counted = rows.filter(pl.col("hospital_id") == hospital).group_by("department").len().collect()
    return dict(counted.sort("department").iter_rows())


STREAM = [
    admitted(1, "10:00"),
    admitted(2, "11:00"),  # its transfer is missing
    admitted(3, "12:00"),  # its discharge is missing, and the list does not name it
    admitted(5, "13:00"),
    later("discharge", 5, "09:00 +1"),  # cancelled since, which the stream lacks
    admitted(7, "14:00", hospital_id=2),  # of a hospital without an extract
    admitted(8, "15:00"),  # its discharge is missing, and the list states it
    later("update", 1, "06:00 +3"),
]
EXTRACT = [
    listed(1, "ICU", "10:00"),
    listed(2, "Surgery", "11:00"),
    listed(4, "ICU", "08:00 +2"),
    listed(5, "ICU", "13:00"),
    listed(8, "ICU", "15:00", discharge_time=at("16:30 +2").isoformat()),
]
KINDS = {
    "v2": Kind.OTHER_DEPARTMENT,
    "v3": Kind.MISSING_DISCHARGE,
    "v4": Kind.MISSING_ADMISSION,
    "v5": Kind.IN_EXTRACT_ONLY,
    "v8": Kind.MISSING_DISCHARGE,
}


def named(outcome: Outcome) -> dict[str, Kind | None]:
    report = outcome.reports[-1]
    return {report.numbers[each.visit]["visit_id"]: each.kind for each in report.named}


def test_every_difference_is_named_and_corrected_once_and_the_correction_can_be_withdrawn(
    services: Services, tmp_path: Path
) -> None:
    receive(services, STREAM)
    path = table_of(tmp_path / "wards.csv", EXTRACT)
    outcome, said = run(services, path, dry_run=True)
    assert named(outcome) == KINDS
    before = everything(services.lake)
    for line in (
        "other_department 1: in bed in both, in different departments",
        "visit v2, hospital 1: stream ICU since 2026-03-20 11:00; extract Surgery since 2026-03-20 11:00; "
        "transfer at 2026-03-23 05:00 (estimated)",
        "visit v4, hospital 1: stream none; extract ICU since 2026-03-22 08:00; admission at 2026-03-22 08:00",
        "visit v8, hospital 1: stream ICU since 2026-03-20 15:00; extract left ICU 2026-03-22 16:30; "
        "discharge at 2026-03-22 16:30",
    ):
        assert line in said
    assert in_bed(services, TAKEN) == {"ICU": 4}

    outcome, said = run(services, path)
    assert (named(outcome), outcome.corrections) == (KINDS, 5)
    assert "to undo: patient-flow reconcile --undo 2026-03-23" in said
    assert in_bed(services, TAKEN) == {"ICU": 3, "Surgery": 1}
    assert in_bed(services, TAKEN, "2") == {"ICU": 1}
    assert services.lake.open(QUARANTINE).row_count() == 0
    assert verify_warehouse(services) == []
    assert all_events_arrive_once(all_bronze_events(services.lake)).severity is Severity.OK
    assert counts_reconcile(reconciliation_counts(services.lake, everything=True)).severity is Severity.OK
    corrected = everything(services.lake)
    flags = dict(
        services.lake.open(SILVER_EVENTS)
        .scan()
        .filter(pl.col("source") == "reconciliation")
        .select("event_type", pl.col("quality_flags").list.contains("time_is_estimated"))
        .collect()
        .unique("event_type", keep="first")
        .iter_rows()
    )
    assert flags["transfer"] is True

    outcome, _ = run(services, path)
    assert (named(outcome), outcome.corrections) == (KINDS, 0)
    assert_same(everything(services.lake), corrected)
    assert "5 corrections withdrawn" in list(undo(services, "2026-03-23"))
    assert_same(everything(services.lake), before)
    outcome, _ = run(services, path)
    assert outcome.corrections == 5
    numbers = services.lake.open(BRONZE_EVENTS).scan().filter(pl.col("partition_id") == "reconciliation").collect()
    assert sorted(numbers["sequence_number"]) == [6, 7, 8, 9, 10]
    assert in_bed(services, TAKEN) == {"ICU": 3, "Surgery": 1}


@pytest.mark.embedded_only("the way of rows through the stores is the business of the test before")
def test_what_the_sender_states_later_takes_the_place_of_a_correction(services: Services, tmp_path: Path) -> None:
    receive(services, STREAM)
    path = table_of(tmp_path / "wards.csv", EXTRACT)
    run(services, path)
    late = TAKEN + timedelta(hours=5)
    told = [
        later("transfer", 2, "20:00 +1", department="Surgery"),
        later("discharge", 3, "21:00 +2"),
        admitted(4, "07:30 +2"),
        later("transfer", 8, "10:00 +3", department="Surgery"),
    ]
    receive(services, told, first=len(STREAM), enqueued_at=late)
    context = step_context(services, run_id="test", now=late)
    outcome, _ = run(services, path)
    stays = services.lake.open(FACT_PATIENT_FLOW).scan().collect().sort("admission_at")
    begins = set(stays["admission_at"])
    assert {at("20:00 +1"), at("07:30 +2")} <= begins
    assert TAKEN not in set(stays["discharge_at"])  # those who left the ICU at an estimated time
    assert at("21:00 +2") in set(stays["discharge_at"])
    assert in_bed(services, late)["Surgery"] == 2
    held = {each.held_back for each in outcome.reports[-1].named}
    assert "the sender has stated it since" in held
    # A forecast as of the morning knows the corrections, and not what makes them void.
    known = known_at(context, TAKEN + timedelta(hours=1), at("00:00 -30")).stays
    assert known.filter(pl.col("admission_at") == at("08:00 +2")).height == 1
    assert known.filter(pl.col("admission_at") == at("07:30 +2")).height == 0
    assert known.filter(pl.col("discharge_at") == TAKEN).height >= 1
    before = known_at(context, TAKEN - timedelta(minutes=1), at("00:00 -30")).stays
    assert before.filter(pl.col("admission_at") == at("08:00 +2")).height == 0


@pytest.mark.embedded_only("nothing is written")
def test_without_a_rule_nothing_is_corrected_and_what_cannot_be_compared_is_refused_with_what_to_do(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = table_of(tmp_path / "wards.csv", EXTRACT)
    receive(services, STREAM[:-1])
    with pytest.raises(OperatorError, match="run it again after the next micro-batch"):
        run(services, path)
    receive(services, STREAM[-1:], first=len(STREAM))
    for name in ("lake_uri", "warehouse_url", "pseudonym_key", "erasure_key"):
        monkeypatch.setenv(f"PATIENT_FLOW_{name.upper()}", getattr(services.settings, name))
    command = ["reconcile", str(path), "--as-of", "2026-03-23T06:00"]
    done = CliRunner().invoke(cli, command, catch_exceptions=False)
    assert (done.exit_code, "missing_admission 1" in done.output) == (0, True), done.output
    assert "not corrected: no rule lets the extract win" in done.output
    assert "0 corrections written" in done.output
    assert "separator guessed as semicolon (--separator names another)" in done.output
    with pytest.raises(OperatorError, match="does not state when it was taken: name the time with --as-of"):
        list(reconcile(services, [str(path)], Options()))
    with pytest.raises(OperatorError, match="in the future"):
        list(reconcile(services, [str(path)], Options(datetime.fromisoformat("2099-01-01T00:00+00:00"))))
    broken = table_of(tmp_path / "broken.csv", [{"ward": "ICU", "bed": "7"}])
    with pytest.raises(OperatorError, match=r"has 1 row, and none can be read .*mapping try"):
        run(services, broken)
    other = table_of(tmp_path / "others.csv", [{**row, "visit_id": f"x{row['visit_id']}"} for row in EXTRACT])
    with pytest.raises(OperatorError, match="under another visit number"):
        run(services, other)
    with pytest.raises(OperatorError, match="--undo takes a local day"):
        list(undo(services, "yesterday"))
    with pytest.raises(OperatorError, match="no corrections of an extract taken on 2026-03-01"):
        list(undo(services, "2026-03-01"))


@pytest.mark.embedded_only("the lake is the same")
def test_an_incomplete_extract_discharges_nobody(services: Services, tmp_path: Path) -> None:
    receive(services, [admitted(number, "10:00") for number in range(20)] + [later("update", 1, "06:00 +3")])
    outcome, said = run(services, table_of(tmp_path / "cut.csv", [listed(1, "ICU", "10:00")]), dry_run=True)
    assert (len(outcome.differences), outcome.reports[0].to_correct) == (19, [])
    assert "19 of 20 patients in bed are not in the extract, which may be incomplete" in said
    rows = [listed(number, "ICU", "10:00") for number in range(15)]
    broken = table_of(tmp_path / "broken.csv", [*rows, {**rows[0], "patient_id": ""}])
    outcome, said = run(services, broken, dry_run=True)
    assert (len(outcome.differences), outcome.reports[0].to_correct) == (5, [])
    assert "rows cannot be read (patient_is_missing 1): nobody is discharged" in said
    (tmp_path / "rules.toml").write_text('[[rule]]\nmax_discharges_pct = 30\nwins = ["discharge"]')
    del services.extract_rules
    halves = table_of(tmp_path / "1.csv", rows[:7]), table_of(tmp_path / "2.csv", rows[7:])
    outcome, _ = run(services, *halves)
    assert outcome.corrections == 5


@pytest.mark.long
@pytest.mark.embedded_only("the lake is the same")
def test_a_stay_that_only_the_extract_still_shows_is_confirmed_each_night(services: Services, tmp_path: Path) -> None:
    long_ago = admitted(1, "10:00 -100")
    receive(services, [long_ago, admitted(2, "10:00 -86"), admitted(3, "10:00"), later("update", 3, "06:00 +3")])
    path = table_of(
        tmp_path / "wards.csv",
        [listed(1, "ICU", "10:00 -100"), listed(2, "ICU", "10:00 -86"), listed(3, "ICU", "10:00")],
    )
    outcome, _ = run(services, path)
    assert named(outcome) == {"v1": Kind.IN_EXTRACT_ONLY}  # nothing has confirmed it for 90 days
    assert outcome.corrections == 2
    until = services.lake.open(FACT_PATIENT_FLOW).scan().select("admission_at", "confirmed_until").collect()
    assert dict(until.iter_rows())[at("10:00 -86")] == TAKEN + timedelta(days=90)
    assert dict(until.iter_rows())[at("10:00 -100")] == TAKEN + timedelta(days=90)
    before = everything(services.lake)
    list(rebuild(step_context(services, run_id="test", now=TAKEN)))
    assert_same(everything(services.lake), before)


@pytest.mark.embedded_only("the lake is the same")
def test_an_extract_of_fhir_encounters_states_moves_and_is_of_one_instant(services: Services, tmp_path: Path) -> None:
    def encounter(number: int, *stays: tuple[str, str], status: str = "in-progress", end: str | None = None) -> str:
        starts = [at(clock).isoformat() for _, clock in stays]
        return json.dumps(
            {
                "resourceType": "Encounter",
                "id": f"v{number}",
                "status": status,
                "class": {"code": "IMP"},
                "subject": {"reference": f"Patient/p{number}"},
                "serviceProvider": {"reference": "Organization/1"},
                "period": {"start": starts[0], **({"end": at(end).isoformat()} if end else {})},
                "location": [
                    {"location": {"display": place}, "period": {"start": start, **({"end": end_} if end_ else {})}}
                    for (place, _), start, end_ in zip(
                        stays, starts, [*starts[1:], at(end).isoformat() if end else None], strict=True
                    )
                ],
            }
        )

    receive(services, STREAM)
    path = tmp_path / "export.ndjson"
    path.write_text(
        "\n".join(
            [
                encounter(1, ("ICU", "10:00")),
                encounter(2, ("ICU", "11:00"), ("Surgery", "18:00 +1")),
                encounter(4, ("ICU", "08:00 +2"), ("Surgery", "20:00 +2")),
                encounter(8, ("ICU", "15:00"), status="finished", end="16:30 +2"),
            ]
        )
    )
    outcome, said = run(services, path)
    kinds = {**KINDS}
    del kinds["v5"]
    assert named(outcome) == kinds
    assert "transfer at 2026-03-21 18:00" in said
    assert "transfer at 2026-03-21 18:00 (estimated)" not in said
    assert "admission at 2026-03-22 08:00, transfer at 2026-03-22 20:00" in said
    assert in_bed(services, TAKEN) == {"ICU": 1, "Surgery": 2}


@pytest.mark.long
@pytest.mark.embedded_only("the stores are those of the command")
def test_the_job_names_differences_without_a_patient_and_is_dry_by_default(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    settings = {**stack.settings(), "PATIENT_FLOW_EXTRACT_RULES": str(tmp_path / "rules.toml")}
    services = Services(load(settings, environ={}))
    receive(services, STREAM)
    path = table_of(tmp_path / "wards.csv", EXTRACT)

    def execute(**config: Any) -> dg.ExecuteInProcessResult:
        job = build_defs(PatientFlow(overrides=settings)).resolve_job_def("reconcile")
        run_config = {"ops": {"reconciliation__differences": {"config": config}}}
        return job.execute_in_process(run_config=run_config, raise_on_error=False)

    dry = execute(paths=[str(path)], as_of="2026-03-23T06:00")
    (check,) = dry.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    rows = [record.data for record in check.metadata["details"].value.records]
    assert {row["difference"] for row in rows} == set(KINDS.values())
    stated = str(check) + str(dry.asset_materializations_for_node("reconciliation__differences"))
    assert not any(f"{kind}{number}" in stated for kind in "vp" for number in range(1, 9))
    assert services.lake.open(BRONZE_EVENTS).row_count() == len(STREAM)
    execute(paths=[str(path)], as_of="2026-03-23T06:00", dry_run=False)
    assert services.lake.open(BRONZE_EVENTS).row_count() == len(STREAM) + 5
    execute(undo="2026-03-23", dry_run=False)
    assert services.lake.open(BRONZE_EVENTS).row_count() == len(STREAM)
    assert not execute(undo="2026-03-23", dry_run=False).success
    idle = execute()
    assert idle.success
    assert idle.get_asset_check_evaluations() == [], "the findings of the newest extract stay"
    batch = build_defs().resolve_job_def("micro_batch")
    assert "reconciliation__differences" not in {node.name for node in batch.nodes}
