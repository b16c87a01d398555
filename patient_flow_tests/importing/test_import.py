"""``patient-flow import``: files reach the warehouse once, whatever dies, and can be withdrawn as if never there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import dagster as dg
import polars as pl
import pytest
from azure.storage.blob import BlobServiceClient

from patient_flow.contracts.columns import INSTANT
from patient_flow.contracts.events import NO_HUB
from patient_flow.contracts.rules import ALL
from patient_flow.contracts.tables import BRONZE_EVENTS, DATA_QUALITY_DAY, IGNORED, SILVER_EVENTS
from patient_flow.errors import OperatorError
from patient_flow.files import examine, identify
from patient_flow.importing import Options, import_files, instant, undo
from patient_flow.monitoring.finding import Severity
from patient_flow.monitoring.rules.arrival import all_events_arrive_once
from patient_flow.monitoring.rules.reconciliation import counts_reconcile
from patient_flow.operations import verify_warehouse
from patient_flow.orchestration import import_job
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import distributed, import_checks, imports
from patient_flow.pipeline.inspection import all_bronze_events, last_sent, newest_day_quality, reconciliation_counts
from patient_flow.pipeline.received import newest_hub_event
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores import blobs
from patient_flow.stores.lake.catalog import Lake
from patient_flow.stores.lake.table import LakeTable
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import (
    ENQUEUED,
    EVENT_STEPS,
    SECRET,
    ZONE,
    Body,
    at,
    bronze,
    contents,
    event,
    forget_log,
    run_step,
    snapshot,
    step_context,
)
from patient_flow_tests.dialects.builders import adt
from patient_flow_tests.scenarios.agreement import assert_same, everything
from patient_flow_tests.scenarios.hospital_days import DEPARTMENTS
from patient_flow_tests.servers import ACCOUNT, AZURITE_KEY
from patient_flow_tests.stacks import Servers, Stack

PARSER = ParserConfig(DEPARTMENTS, SECRET)
Lakes = Callable[[int], AbstractContextManager[list[Lake]]]


@contextmanager
def unseen(what: str, rows: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


@pytest.fixture
def services(stack: Stack) -> Iterator[Services]:
    made = Services(load(stack.settings(), environ={}))
    yield made
    made.warehouse.dispose()


def lines_of(path: Path, bodies: Sequence[Body]) -> Path:
    path.write_text("\n".join(json.dumps(body) for body in bodies))
    return path


def table_of(path: Path, bodies: Sequence[Body]) -> Path:
    names = list(dict.fromkeys(name for body in bodies for name in body))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter=";")
        writer.writeheader()
        writer.writerows(bodies)
    return path


def run_import(services: Services, *places: object, **options: Any) -> list[str]:
    return list(import_files(services, [str(place) for place in places], Options(**options), unseen))


def bring(lake: Lake, path: Path, *, as_of: datetime | None = None) -> None:
    """The rows of a file enter bronze."""
    now = datetime.now(UTC)
    list(imports.write(lake, examine(path), PARSER, now=now, as_of=as_of, run_id="test", progress=print))


def withdraw(lake: Lake, sha256: str) -> int:
    return [0, *imports.withdraw(lake, sha256, now=datetime.now(UTC), run_id="test", progress=print)][-1]


def follow(lake: Lake, steps: Sequence[str] = EVENT_STEPS) -> None:
    for step in steps:
        run_step(step, lake, DEPARTMENTS)


def from_hub(lake: Lake, bodies: Sequence[Body]) -> None:
    lake.open(BRONZE_EVENTS).append(bronze(bodies), {})
    follow(lake)


def visit(number: int, **more: Any) -> list[Body]:
    """An admission and a discharge of a patient, days before the hub's first event."""
    named = {"visit_id": f"v{number}", "patient_id": f"p{number}", **more}
    begins = at("10:00 -9") + timedelta(hours=number)
    return [
        event(event_time=begins, **named),
        event(event_type="discharge", event_time=begins + timedelta(days=2), department=None, **named),
    ]


HISTORY = [body for number in range(4) for body in visit(number)]


def test_a_folder_of_every_format_reaches_the_warehouse_with_a_report(services: Services, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    table_of(folder / "1.csv", [*visit(0), {"patient_id": "nobody"}])
    lines_of(folder / "2.jsonl", visit(1))
    pl.DataFrame(visit(2)).write_parquet(folder / "3.parquet")
    (folder / "4.hl7").write_bytes(b"BHS|^~\\&\r" + adt("A01") + adt("A01", msh={9: "ORU^R01"}) + b"BTS|2\r")
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "finished",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/p9"},
        "serviceProvider": {"reference": "Organization/1"},
        "period": {"start": "2026-03-01T10:00:00Z", "end": "2026-03-03T10:00:00Z"},
        "location": [{"location": {"display": "ICU"}}],
    }
    lines_of(folder / "5.ndjson", [encounter, {"resourceType": "Patient", "id": "p9"}])
    report = "\n".join(run_import(services, folder))
    for line in (
        "1.csv: 3 rows imported: 2 accepted, 0 ignored, 1 quarantined",
        "quarantined: hospital_is_missing 1",
        "2.jsonl: 2 rows imported: 2 accepted",
        "3.parquet: 2 rows imported: 2 accepted",
        "4.hl7: 2 rows imported: 1 accepted, 1 ignored",
        "ignored: message_is_not_adt 1",
        "5.ndjson: 2 rows imported: 1 accepted, 1 ignored",
    ):
        assert line in report
    assert verify_warehouse(services) == []
    assert services.lake.open(SILVER_EVENTS).row_count() == 8
    again = "\n".join(run_import(services, folder))
    assert again.count("imported before, nothing to do") == 5
    assert services.lake.open(BRONZE_EVENTS).row_count() == 11
    assert "3 rows withdrawn" in next(undo(services, str(folder / "1.csv"), unseen))


def test_an_imported_row_has_the_coordinates_of_its_file_and_counts_at_its_latest_instant(
    lake: Lake, tmp_path: Path
) -> None:
    future = datetime.now(UTC) + timedelta(days=3)
    rows = [
        snapshot(patient_id="p1", admission_time=at("10:00"), discharge_time=at("15:00 +1")),
        snapshot(patient_id="p2", admission_time=at("11:00"), discharge_time=future),
        {"patient_id": "p3"},
        {"stays": [{"department": "ICU", "from": "2026-03-20T10:00", "to": "2026-03-21T10:00"}], "patient_id": "p4"},
    ]
    path = table_of(tmp_path / "extract.csv", rows[:3])
    began = datetime.now(UTC)
    bring(lake, path)
    bring(lake, lines_of(tmp_path / "stays.jsonl", rows[3:]))
    bring(lake, lines_of(tmp_path / "taken.jsonl", [{**rows[0], "patient_id": "p5"}]), as_of=at("06:00 +2"))
    held = contents(lake, BRONZE_EVENTS).sort("ingested_at", "sequence_number")
    assert held["hub_created_at"].unique().to_list() == [NO_HUB]
    assert held["partition_id"][0] == f"import-{identify(path)}"
    assert held["sequence_number"].to_list() == [1, 2, 3, 1, 1]
    received = held["enqueued_at"].to_list()
    assert received[:2] == [at("15:00 +1"), at("11:00")]
    assert began <= received[2] <= datetime.now(UTC)
    assert received[3:] == [at("10:00 +1"), at("06:00 +2")]
    assert json.loads(held["body"][0])["bed_id"] == "311"


@pytest.mark.parametrize("dies", ["before its commit", "after its commit"])
def test_an_import_that_is_killed_at_any_commit_goes_on(
    lake: Lake, tmp_path: Path, dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 3)
    path = lines_of(tmp_path / "history.jsonl", HISTORY)
    append, turns = LakeTable.append, iter([True, False] * 9)

    def deadly(table: LakeTable, *args: Any, **kwargs: Any) -> int:
        if dies == "after its commit":
            append(table, *args, **kwargs)
        if next(turns):
            raise KeyboardInterrupt
        return table.version if dies == "after its commit" else append(table, *args, **kwargs)

    monkeypatch.setattr(LakeTable, "append", deadly)
    deaths = 0
    while not imports.is_complete(lake.open(BRONZE_EVENTS), examine(path)):
        try:
            bring(lake, path)
        except KeyboardInterrupt:
            deaths += 1
    assert deaths >= 2
    held = contents(lake, BRONZE_EVENTS)
    assert [json.loads(body) for body in held["body"]] == HISTORY
    assert held["sequence_number"].to_list() == list(range(1, 9))
    assert held["ingested_at"].n_unique() == 1


def test_a_file_that_grows_while_it_is_imported_is_refused_and_can_be_withdrawn(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 3)
    path = lines_of(tmp_path / "history.jsonl", HISTORY)
    source = examine(path)
    written = imports.write(lake, source, PARSER, now=datetime.now(UTC), as_of=None, run_id="test", progress=print)
    assert next(written) == 3
    with path.open("a") as file:
        file.write(json.dumps(HISTORY[0]) + "\n")
    with pytest.raises(OperatorError, match=f"changed while it was imported.*--undo {source.sha256}"):
        list(written)
    assert contents(lake, BRONZE_EVENTS).height == 3
    assert list(imports.withdraw(lake, source.sha256, now=datetime.now(UTC), run_id="test", progress=print)) == [3]


@pytest.mark.embedded_only("test_reconcile withdraws on both stacks")
def test_a_withdrawn_file_leaves_the_tables_as_if_it_had_never_been_there(
    lakes: Lakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had repeated, contradicted and superseded what hub and another file state."""
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 4)
    open_stay = {"admission_time": at("10:00 -3"), "discharge_time": None}
    live = [*visit(8), snapshot(patient_id="p8", **open_stay), event(visit_id="live", patient_id="p7")]
    first = lines_of(tmp_path / "1.jsonl", [*HISTORY, snapshot(patient_id="q", visit_id="q", **open_stay)])
    wrong = lines_of(
        tmp_path / "2.jsonl",
        [
            *({**body, "age": 99} for body in HISTORY[:3]),
            *HISTORY[3:5],
            *visit(8)[:1],
            {**visit(8)[1], "bed_id": "99"},
            snapshot(patient_id="p8", **open_stay),
            snapshot(patient_id="q", visit_id="q", department="Surgery", **open_stay),
            event(visit_id="wrong", patient_id="x", department="Helipad", event_time=at("10:00 -300")),
        ],
    )
    with lakes(2) as (lake, other):
        for made in (lake, other):
            made.open(BRONZE_EVENTS).append(bronze(live), {})
            bring(made, first)
            follow(made)
        before = without_clock(other)
        bring(lake, wrong)
        follow(lake)
        names = dict(contents(lake, IGNORED)["name"].value_counts().iter_rows())
        assert names == {"already_received": 4, "import_superseded": 4, "import_contradicts": 1}
        assert "Helipad" in contents(lake, SILVER_EVENTS)["department"].to_list()
        assert withdraw(lake, identify(wrong)) == 10
        follow(lake)
        assert_same(without_clock(lake), before)
        with pytest.raises(OperatorError, match="was not imported"):
            withdraw(lake, identify(wrong))
        bring(lake, wrong)
        follow(lake)
        assert withdraw(lake, identify(first)) + withdraw(lake, identify(wrong)) == 19
        follow(lake)
        forget_log(lake.open(BRONZE_EVENTS))
        other.open(BRONZE_EVENTS).delete("partition_id like 'import-%'", {})
        forget_log(other.open(BRONZE_EVENTS))  # the other lake finds out without the changes
        follow(other)
        assert_same(without_clock(lake), without_clock(other))
        assert lake.open(SILVER_EVENTS).row_count() == len(live)


def without_clock(lake: Lake) -> dict[str, pl.DataFrame]:
    """Every table of silver and gold, without when files were imported."""
    return {path: frame.drop("imported_at", strict=False) for path, frame in everything(lake).items()}


@pytest.mark.embedded_only("which process judges them, on any storage")
def test_a_rebuild_on_a_cluster_judges_rows_of_files_in_this_process(lake: Lake, tmp_path: Path) -> None:
    from_hub(lake, HISTORY[:3])
    bring(lake, lines_of(tmp_path / "history.jsonl", [*HISTORY, {**HISTORY[0], "age": 7}]))
    follow(lake, EVENT_STEPS[:4])
    before = {table: contents(lake, table) for table in (SILVER_EVENTS, IGNORED)}
    no_cluster = cast(Any, None)
    done = list(distributed._silver(step_context(lake, PARSER), no_cluster, no_cluster))
    assert [result.table.name for result in done] == ["patient_events", "erased", "ignored", "quarantine"]
    assert all(contents(lake, table).equals(rows) for table, rows in before.items())


def test_a_withdrawal_that_was_interrupted_has_to_end_before_the_file_comes_again(
    lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ROWS_AT_ONCE", 3)
    path = lines_of(tmp_path / "history.jsonl", HISTORY)
    bring(lake, path)
    next(imports.withdraw(lake, identify(path), now=datetime.now(UTC), run_id="test", progress=print))
    with pytest.raises(OperatorError, match=r"--undo [0-9a-f]{64}` again"):
        bring(lake, path)
    assert withdraw(lake, identify(path)) == len(HISTORY) - 3
    bring(lake, path)
    assert lake.open(BRONZE_EVENTS).row_count() == len(HISTORY)


@pytest.mark.embedded_only("what a file says, on any storage")
def test_a_file_whose_numbers_do_not_fit_the_lake_is_refused(lake: Lake, tmp_path: Path) -> None:
    from_hub(lake, HISTORY)
    numbered = list(enumerate(HISTORY))
    for bodies, expected in (
        ([{**body, "visit_assigner": "PAS"} for body in HISTORY], "set visit_scope"),
        (
            [{**body, "patient_assigner": "PAS", "visit_id": f"w{number}"} for number, body in numbered],
            'patient_scope = "network"',
        ),
        ([{**body, "visit_id": f"other {body['visit_id']}"} for body in HISTORY], "another visit number"),
        (HISTORY, None),
        ([body for number in range(20, 24) for body in visit(number)], None),
    ):
        source = examine(lines_of(tmp_path / "rows.jsonl", bodies))
        batches = imports.batches(source, PARSER, datetime.now(UTC), None)
        compared = import_checks.compare(lake, batches, PARSER)
        if expected is None:
            compared.require_fit("rows.jsonl")
            continue
        with pytest.raises(import_checks.ImportRefused, match=expected):
            compared.require_fit("rows.jsonl")


@pytest.mark.embedded_only("what the rules read, on any storage")
def test_freshness_and_silence_are_judged_by_the_hub_alone_and_numbers_arrive_once(lake: Lake, tmp_path: Path) -> None:
    from_hub(lake, [event()])
    recent = datetime.now(UTC) - timedelta(minutes=5)
    bring(lake, table_of(tmp_path / "recent.csv", [event(visit_id="v9", hospital_id=2, event_time=recent)]))
    follow(lake)
    assert newest_hub_event(lake.open(SILVER_EVENTS)) == ENQUEUED
    assert last_sent(lake, datetime.now(UTC), 1).is_empty()
    assert all_events_arrive_once(all_bronze_events(lake)).severity is Severity.OK
    for everything_counted in (True, False):
        counts = reconciliation_counts(lake, everything=everything_counted)
        assert counts_reconcile(counts).severity is Severity.OK


def test_an_extract_from_the_future_and_an_unknown_file_are_refused(services: Services, tmp_path: Path) -> None:
    path = lines_of(tmp_path / "rows.jsonl", HISTORY)
    with pytest.raises(OperatorError, match="in the future"):
        run_import(services, path, as_of=datetime.now(UTC) + timedelta(hours=1))
    with pytest.raises(OperatorError, match="no such file"):
        run_import(services, tmp_path / "nothing*")
    for text in ("0001-01-01", "yesterday"):
        with pytest.raises(OperatorError, match=f"--hub-created-at takes a time such as .* it is '{text}'"):
            instant(text, "Europe/Paris", "--hub-created-at")
    with pytest.raises(OperatorError, match="files are read from folders and from abfss"):
        run_import(services, "https://example.org/rows.csv")
    with pytest.raises(OperatorError, match="no such file"):
        list(undo(services, str(tmp_path / "nothing"), unseen))


def test_files_on_blob_storage_are_found_by_address_folder_and_pattern(running: Servers, tmp_path: Path) -> None:
    url, container = running.azurite["AZURITE_BLOB_STORAGE_URL"], "exports"
    with (
        BlobServiceClient(f"{url}/{ACCOUNT}", credential=AZURITE_KEY) as client,
        client.create_container(container) as made,
    ):
        for name in ("2025/1.csv", "2025/2.csv", "2025/_SUCCESS", "2026/1.csv"):
            made.upload_blob(name, name.encode())
    place = f"abfss://{container}@{ACCOUNT}.dfs.core.windows.net"
    for wanted, expected in (
        ("2025/1.csv", ["2025/1.csv"]),
        ("2025", ["2025/1.csv", "2025/2.csv"]),
        ("*/1.csv", ["2025/1.csv", "2026/1.csv"]),
        ("", ["2025/1.csv", "2025/2.csv", "2026/1.csv"]),
    ):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        found = blobs.fetch(f"{place}/{wanted}", folder)
        assert [str(path.relative_to(folder)) for path in found] == expected
        assert [path.read_text() for path in found] == expected
    for missing in (f"{place}/2024", "abfss://nothing@nowhere.dfs.core.windows.net/x.csv"):
        with pytest.raises(blobs.BlobsUnreadable, match=r"abfss://"):
            blobs.fetch(missing, tmp_path / "none")


@pytest.mark.embedded_only("what the job does, on any storage")
def test_the_launchpad_imports_and_withdraws_and_is_dry_by_default(stack: Stack, tmp_path: Path) -> None:
    path = lines_of(tmp_path / "history.jsonl", HISTORY)
    settings = stack.settings()
    lake = Lake(settings["PATIENT_FLOW_LAKE_URI"])

    def run(**config: Any) -> tuple[bool, str]:
        with dg.DagsterInstance.ephemeral() as instance:
            result = import_job.import_files.execute_in_process(
                run_config={"ops": {"run_import": {"config": config}}},
                resources={"patient_flow": PatientFlow(overrides=settings)},
                instance=instance,
                raise_on_error=False,
            )
            return result.success, "\n".join(str(entry) for entry in instance.all_logs(result.run_id))

    assert all(field.description for field in import_job.ImportConfig.model_fields.values())
    success, log = run(paths=[str(path)])
    assert success
    assert "this was a dry run" in log
    assert lake.open(BRONZE_EVENTS).row_count() == 0
    success, log = run(paths=[str(path)], dry_run=False, as_of="2026-03-21T06:00")
    assert success
    assert "8 rows imported" in log
    assert contents(lake, BRONZE_EVENTS)["enqueued_at"].unique().to_list() == [at("05:00 +1")]
    success, log = run(paths=[str(path), "another"], undo=True, dry_run=False)
    assert not success
    assert "undo takes one file" in log
    success, log = run(paths=[str(path)], undo=True, dry_run=False)
    assert success
    assert lake.open(BRONZE_EVENTS).row_count() == 0


@pytest.mark.embedded_only("the rule reads tables of the lake, whatever store they are in")
def test_rejected_rows_of_history_are_no_share_of_todays_events(lake: Lake, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    live = [event(visit_id=f"v{number}", event_time=now) for number in range(3)]
    lake.open(BRONZE_EVENTS).append(bronze(live).with_columns(enqueued_at=pl.lit(now, INSTANT)), {})
    bring(lake, lines_of(tmp_path / "history.jsonl", [event(visit_id="old"), {"no": "time"}, {"nor": "here"}]))
    follow(lake, (*EVENT_STEPS, "data_quality_day"))
    stored = lake.open(DATA_QUALITY_DAY).scan().filter(pl.col("rule") == ALL).collect()
    newest = newest_day_quality(lake, ZONE).filter(pl.col("rule") == ALL)
    assert stored["quarantined"].sum() == 2
    assert (newest["accepted"].sum(), newest["quarantined"].sum()) == (3, 0)
