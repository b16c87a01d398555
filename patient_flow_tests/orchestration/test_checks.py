"""Every check on real tables: what is wrong is found by the run that meets it, and what is grave goes no further."""

from __future__ import annotations

import functools
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from deltalake.exceptions import DeltaError

from patient_flow.contracts import tables
from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring import catalogue
from patient_flow.monitoring.finding import Finding
from patient_flow.monitoring.finding import error as error_finding
from patient_flow.monitoring.inputs import ReadProgress
from patient_flow.monitoring.rule import Cadence
from patient_flow.monitoring.rules import reconciliation
from patient_flow.operations import reload_warehouse
from patient_flow.orchestration import check_context, check_jobs, checks
from patient_flow.orchestration.automation import ASSET_JOB, micro_batch
from patient_flow.orchestration.check_jobs import audit, heartbeat, hourly_checks
from patient_flow.orchestration.checks import HISTORY
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline.checkpoints import READ_UNTIL
from patient_flow.pipeline.hub_probe import probe_hub
from patient_flow.pipeline.read_progress import read_progress, recorded_progress
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.hub import Hub
from patient_flow.stores.lake.table import LakeTable
from patient_flow_tests.orchestration.test_micro_batch import send, snapshot

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

TODAY = datetime.now(UTC).replace(minute=15, second=0, microsecond=0) - timedelta(hours=3)
"""Admissions of these tests: by now they have spent two full hours in bed."""


class Hospital:
    """A pipeline with its own lake, hub and warehouse, and an instance that remembers."""

    def __init__(self, folder: Path, hub: HubThread, instance: dg.DagsterInstance) -> None:
        self.folder = folder
        self.hub = hub
        self.instance = instance
        self.settings = self.settings_in(folder, hub)

    @staticmethod
    def settings_in(folder: Path, hub: HubThread) -> dict[str, str]:
        return {
            "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
            "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
            "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
        }

    @property
    def services(self) -> Services:
        return Services(load(self.settings, environ={}))

    @property
    def resource(self) -> PatientFlow:
        return PatientFlow(overrides=self.settings)

    def table(self, table: tables.Table) -> LakeTable:
        return self.services.lake.open(table)

    def send(self, *patients: str, **changes: object) -> None:
        stated = {"admission_time": TODAY.isoformat(), **changes}
        send(self.hub, [snapshot(patient, **stated) for patient in patients])

    def run(self, job: str = micro_batch.name) -> Findings:
        defs = build_defs(self.resource)
        result = defs.resolve_job_def(job).execute_in_process(instance=self.instance, raise_on_error=False)
        return Findings(result)

    def run_first(self) -> None:
        """Two patients who have been in bed for hours, and one who came then."""
        self.send("a", "b")
        self.send("z", admission_time=(TODAY + timedelta(hours=2)).isoformat())
        first = self.run()
        assert first.result.success
        assert first.failed == set()

    def audit(self) -> Findings:
        return self.run(audit.name)

    def identities(self) -> set[bytes]:
        """Pseudonyms and keys of patients and visits, as text that Dagster must not keep."""
        patients = self.table(tables.DIM_PATIENT).scan().filter(pl.col("patient_key") != 0).collect()
        stays = self.table(tables.FACT_PATIENT_FLOW).scan().collect()
        found = [
            *(patients[name] for name in ("patient_key", "patient_id", "patient_hash")),
            *(stays[name] for name in ("stay_key", "patient_key", "visit_id")),
        ]
        return {str(value).encode() for column in found for value in column if value is not None}

    def sql(self, statement: str) -> None:
        warehouse = self.services.warehouse
        with warehouse._engine.begin() as connection:
            connection.exec_driver_sql(statement)
        warehouse.dispose()


class Findings:
    """What a run found."""

    def __init__(self, result: dg.ExecuteInProcessResult) -> None:
        self.result = result
        self.evaluations = {
            f"{found.asset_key.to_user_string()}:{found.check_name}": found
            for found in result.get_asset_check_evaluations()
        }

    @property
    def failed(self) -> set[str]:
        return {name for name, found in self.evaluations.items() if not found.passed}

    @property
    def made(self) -> set[str]:
        events = self.result.get_asset_materialization_events()
        return {event.asset_key.to_user_string() for event in events if event.asset_key is not None}

    def __getitem__(self, name: str) -> dg.AssetCheckEvaluation:
        return self.evaluations[name]


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lake, hub, warehouse and instance after a first micro-batch, which is made once and copied for each test."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "dagster").mkdir()
    with HubThread(folder / "hub") as hub, dg.DagsterInstance.local_temp(str(folder / "dagster")) as instance:
        Hospital(folder, hub, instance).run_first()
    return folder


@pytest.fixture
def hospital(tmp_path: Path, first_day: Path) -> Iterator[Hospital]:
    """After a first micro-batch, which was some minutes ago. Nothing that Dagster keeps of a test names a person."""
    shutil.copytree(first_day, tmp_path, dirs_exist_ok=True)
    with HubThread(tmp_path / "hub") as hub, dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        opened = Hospital(tmp_path, hub, instance)
        identities = opened.identities()
        yield opened
        kept = [(path, path.read_bytes()) for path in (tmp_path / "dagster").rglob("*") if path.is_file()]
        assert any(b"fact_patient_flow" in content for _, content in kept)
        assert not {(path, identity) for path, content in kept for identity in identities if identity in content}


@pytest.fixture
def new_hospital(tmp_path: Path, hub_thread: HubThread) -> Iterator[Hospital]:
    """Right after a first micro-batch."""
    with dg.DagsterInstance.ephemeral() as instance:
        opened = Hospital(tmp_path, hub_thread, instance)
        opened.run_first()
        yield opened


def again(table: LakeTable, **changes: pl.Expr) -> None:
    """One row of the table is there a second time, with some columns changed, by a hand that is not ours."""
    is_known = pl.col(table.table.key[0]) != 0 if table.table.key[0].endswith("_key") else pl.lit(value=True)
    table.append(table.scan().filter(is_known).collect().head(1).with_columns(**changes), {})


def test_all_is_well_in_a_quiet_run_and_in_the_audit(hospital: Hospital) -> None:
    quiet = hospital.run()
    assert quiet.result.success
    assert quiet.failed == set()
    audited = hospital.audit()
    assert audited.result.success
    assert audited.failed == set()
    assert {name.partition(":")[0] for name in audited.evaluations} == {HISTORY.key.to_user_string()}


def twice_in_bronze(hospital: Hospital) -> None:
    hospital.send("c")
    services = hospital.services
    bronze = hospital.table(tables.BRONZE_EVENTS)
    row = bronze.scan().collect().head(1).with_columns(sequence_number=pl.lit(99, dtype=pl.Int64))
    services.lake.open(tables.BRONZE_EVENTS).append(pl.concat([row, row]), {})


def twice_in_silver(hospital: Hospital) -> None:
    hospital.send("c")
    again(hospital.table(tables.SILVER_EVENTS), sequence_number=pl.lit(98, dtype=pl.Int64))
    again(hospital.table(tables.SILVER_EVENTS), sequence_number=pl.lit(99, dtype=pl.Int64))


def in_silver_and_in_quarantine(hospital: Hospital) -> None:
    silver = hospital.table(tables.SILVER_EVENTS).scan().collect().head(1)
    row = silver.select(
        *tables.EVENT_COORDINATES,
        "parts",
        "enqueued_at",
        body=pl.lit(b""),
        reasons=pl.lit(["patient_is_missing"]),
        details=pl.lit(["patient_id: absent"]),
        hospital_id="hospital_id",
        rejected_at="enqueued_at",
        event_key=pl.lit(None),
        enqueued_month="event_month",
    )
    hospital.table(tables.QUARANTINE).append(row, {})


def patient_with_a_gap(hospital: Hospital) -> None:
    again(
        hospital.table(tables.DIM_PATIENT),
        patient_key=pl.lit(5, dtype=pl.Int64),
        valid_from=pl.col("valid_from") - timedelta(days=2),
        valid_to=pl.col("valid_from") - timedelta(days=1),
        is_current=pl.lit(value=False),
    )


def stay_of_nobody(hospital: Hospital) -> None:
    again(
        hospital.table(tables.FACT_PATIENT_FLOW),
        stay_key=pl.lit(5, dtype=pl.Int64),
        patient_key=pl.lit(6, dtype=pl.Int64),
    )


def stay_twice(hospital: Hospital) -> None:
    for _ in range(2):
        again(hospital.table(tables.FACT_PATIENT_FLOW), stay_key=pl.lit(5, dtype=pl.Int64))


def patient_gone_whose_stays_are_there(hospital: Hospital) -> None:
    patients = hospital.table(tables.DIM_PATIENT)
    key = patients.scan().filter(pl.col("patient_key") != 0).select("patient_key").collect().item(0, 0)
    patients._handle.delete(f"patient_key = {key}")
    facts = hospital.table(tables.FACT_PATIENT_FLOW)
    # the facts followed the dimension, so that nothing is computed again
    facts.append(
        tables.FACT_PATIENT_FLOW.empty(), {tables.DIM_PATIENT.path: hospital.table(tables.DIM_PATIENT).version}
    )


def fewer_than_nobody_in_bed(hospital: Hospital) -> None:
    again(hospital.table(tables.FACT_BED_CENSUS), gender=pl.lit("Other"), occupied_beds=pl.lit(-1, dtype=pl.Int64))
    census = hospital.table(tables.FACT_BED_CENSUS)
    newest = census.scan().select(pl.col("time_key").max()).collect().item()
    hour = datetime.strptime(str(newest), "%Y%m%d%H").replace(tzinfo=UTC)
    census.append(
        census.scan()
        .collect()
        .head(1)
        .with_columns(gender=pl.lit("Unknown"), occupied_beds=pl.lit(0, dtype=pl.Int64), time_key=pl.lit(newest)),
        {"until": int(hour.timestamp() * 1e6)},
    )


def count_changed(hospital: Hospital) -> None:
    again(hospital.table(tables.DATA_QUALITY_DAY), hospital_id=pl.lit("9"))


def rows_gone_from_the_warehouse(hospital: Hospital) -> None:
    hospital.sql("DELETE FROM FactPatientFlow")


ERRORS: dict[Callable[[Hospital], None], tuple[str, str]] = {
    twice_in_bronze: ("bronze/patient_events:events_arrive_once", "silver/patient_events"),
    twice_in_silver: ("silver/patient_events:event_identities_unique", "silver/quarantine"),
    in_silver_and_in_quarantine: ("silver/quarantine:counts_reconcile", "gold/data_quality_day"),
    patient_with_a_gap: ("gold/dim_patient:scd2_intervals_valid", "gold/fact_patient_flow"),
    stay_of_nobody: ("gold/fact_patient_flow:foreign_keys_exist", "gold/fact_bed_census"),
    stay_twice: ("gold/fact_patient_flow:keys_unique", "gold/fact_bed_census"),
    patient_gone_whose_stays_are_there: (
        "gold/fact_patient_flow:foreign_keys_exist",
        "gold/fact_bed_census",
    ),
    fewer_than_nobody_in_bed: ("gold/fact_bed_census:occupancy_plausible", "gold/kpi_department_day"),
    count_changed: ("gold/data_quality_day:quality_counts_reconcile", "warehouse/DataQualityDay"),
}
"""Damage → the check that finds it, and a table that must not be made then."""


@pytest.mark.parametrize("damage", ERRORS, ids=lambda damage: damage.__name__)
def test_an_error_stops_the_run_before_the_warehouse_and_stays_stopped(
    damage: Callable[[Hospital], None], hospital: Hospital
) -> None:
    check, stopped = ERRORS[damage]
    damage(hospital)
    for _ in range(2):  # it does not heal by itself
        found = hospital.run()
        assert check in found.failed
        assert not found.result.success
        assert found[check].severity is dg.AssetCheckSeverity.ERROR
        assert f"See infra/docs/runbook/{found[check].check_name}.md." in str(found[check].description)
        assert stopped not in found.made
        assert not any(name.startswith("warehouse/") for name in found.made)


def test_missing_warehouse_rows_fail_the_run_until_it_is_reloaded(hospital: Hospital) -> None:
    rows_gone_from_the_warehouse(hospital)
    for _ in range(2):
        found = hospital.run()
        assert found.failed == {"warehouse/FactPatientFlow:row_counts_match"}
        assert not found.result.success
    assert len(list(reload_warehouse(hospital.services))) == 1  # as its page says
    assert hospital.run().failed == set()


def test_a_sequence_number_that_never_came_warns_and_the_run_goes_on(hospital: Hospital) -> None:
    known = hospital.table(tables.BRONZE_EVENTS).scan().collect()
    of_partition = known.filter(pl.col("partition_id") == known["partition_id"][0])["sequence_number"]
    last = of_partition.max()
    assert isinstance(last, int)
    for number in (last + 1, last + 3):
        again(hospital.table(tables.BRONZE_EVENTS), sequence_number=pl.lit(number, dtype=pl.Int64))
    found = hospital.run()
    assert found.result.success
    assert found["bronze/patient_events:events_arrive_once"].metadata["missing"].value == 1
    assert found["bronze/patient_events:events_arrive_once"].severity is dg.AssetCheckSeverity.WARN


def test_events_that_retention_dropped_warn_in_the_run_that_met_it_and_in_no_other(hospital: Hospital) -> None:
    hospital.send("lost")
    for partition in range(4):
        hospital.hub.truncate("patient-flow", str(partition))
    hospital.send("kept")
    found = hospital.run()
    assert found.result.success
    assert found.failed == {"bronze/patient_events:events_arrive_once"}
    assert found["bronze/patient_events:events_arrive_once"].metadata["expired"].value == 1
    assert hospital.run().failed == set()
    assert hospital.audit().failed == set()


def test_departments_that_the_list_lacks_and_beds_that_are_too_few_are_named_and_stop_nothing(
    hospital: Hospital,
) -> None:
    listed = hospital.folder / "departments.csv"
    listed.write_text(
        "hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from\n"
        "3,Hospital,ICU,1,1,10,2020-01-01\n"
    )
    hospital.settings["PATIENT_FLOW_DEPARTMENTS"] = str(listed)
    hospital.send("c", department="Sugery")
    found = hospital.run()
    assert found.result.success
    assert found.failed == {
        "gold/dim_department:department_list_current",
        "gold/fact_bed_census:occupancy_plausible",
    }
    details = found["gold/dim_department:department_list_current"].metadata["details"]
    assert isinstance(details, dg.TableMetadataValue)
    assert [dict(record.data) for record in details.records] == [{"hospital_id": "3", "departments": 1}]
    occupancy = found["gold/fact_bed_census:occupancy_plausible"]
    # z is admitted two hours into the day: the third patient of one bed from then on
    assert occupancy.metadata["highest_pct"].value in {200.0, 300.0}
    assert "warehouse/FactPatientFlow" in found.made


def test_rubbish_is_reported_by_rule_and_no_body_shows_anywhere(hospital: Hospital) -> None:
    send(hospital.hub, [b'{"patient_id": "Jane Roe"}', b"Jane Roe"] * 50)
    found = hospital.run()
    assert found.result.success
    assert found.failed == {"gold/data_quality_day:quarantine_rate_acceptable"}
    shown = [str(event) for event in found.result.all_events] + [str(found.evaluations)]
    assert not any("Roe" in text for text in shown)


def test_the_age_of_the_data_is_that_of_the_last_drain_without_a_second_hub_query(new_hospital: Hospital) -> None:
    found = new_hospital.run()["warehouse/FactPatientFlow:data_fresh"]
    assert found.passed
    assert "waiting" not in found.metadata
    assert float(found.metadata["lag_minutes"].value) < 1  # type: ignore[arg-type]


def test_a_hub_that_does_not_answer_is_a_finding_of_the_audit_and_hides_no_other(hospital: Hospital) -> None:
    hospital.hub.stop()
    found = hospital.audit()
    assert found.result.success
    assert found.failed == {"audit/whole_history:data_fresh"}
    assert "patient-flow hub" in str(found["audit/whole_history:data_fresh"].description)


def test_events_that_wait_are_seen_by_the_audit(hospital: Hospital) -> None:
    hospital.send("c")
    found = hospital.audit()["audit/whole_history:data_fresh"]
    assert found.metadata["waiting"].value == 1
    assert found.passed  # they came a moment ago


def test_the_lake_records_the_progress_at_the_hub_for_other_dagster_instances(new_hospital: Hospital) -> None:
    services = new_hospital.services
    recorded = recorded_progress(services.lake)
    assert recorded.read_until is not None
    assert datetime.now(UTC) - recorded.read_until < timedelta(minutes=2)
    now = datetime.now(UTC)
    assert read_progress(services.hub, services.lake, 10, now, trusted=timedelta()) == ReadProgress(now, 0)
    services.warehouse.dispose()


def test_a_lake_from_before_this_was_recorded_asks_the_hub(tmp_path: Path, hub_thread: HubThread) -> None:
    services = Services(load(Hospital.settings_in(tmp_path, hub_thread), environ={}))
    now = datetime.now(UTC)
    trusted = timedelta(minutes=5)
    assert read_progress(services.hub, services.lake, 10, now, trusted=trusted) == ReadProgress(now, 0)
    send(hub_thread, [snapshot("a")])
    progress = read_progress(services.hub, services.lake, 10, datetime.now(UTC), trusted=trusted)
    assert progress.waiting == 1
    assert progress.read_until is not None
    assert progress.read_until >= now - timedelta(seconds=1)  # when the oldest waiting event came


def test_an_idle_hospital_s_first_event_is_not_late_although_the_last_drain_was_hours_ago(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    bronze = hospital.table(tables.BRONZE_EVENTS)
    bronze.append(tables.BRONZE_EVENTS.empty(), READ_UNTIL.of(datetime.now(UTC) - timedelta(hours=5)))
    hospital.send("c")
    found = hospital.run(hourly_checks.name)["audit/whole_history:data_fresh"]
    assert found.passed
    assert found.metadata["waiting"].value == 1
    later = datetime.now(UTC) + timedelta(minutes=16)
    monkeypatch.setattr(check_context, "utc_now", lambda: later)
    monkeypatch.setattr(checks, "utc_now", lambda: later)
    found = hospital.run(hourly_checks.name)["audit/whole_history:data_fresh"]
    assert found.severity is dg.AssetCheckSeverity.ERROR


def test_late_data_fails_its_check_and_not_the_job_that_evaluated_it(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.send("c")
    monkeypatch.setattr(checks, "utc_now", lambda: datetime.now(UTC) + timedelta(minutes=16))
    found = hospital.run(hourly_checks.name)
    assert found["audit/whole_history:data_fresh"].severity is dg.AssetCheckSeverity.ERROR
    assert found.result.success


@pytest.mark.parametrize(
    "error", [OSError("no answer"), DeltaError("no answer"), pl.exceptions.ComputeError("Jane Roe")]
)
def test_a_failing_store_affects_one_rule_and_its_error_is_reported_without_values(
    error: Exception, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("patient_flow.pipeline.inspection.recompute_facts", fails)
    found = hospital.audit()
    assert found.result.success
    assert found.failed == {
        "audit/whole_history:stays_match_events",
        "audit/whole_history:attendances_match_events",
    }
    assert len(found.evaluations) == len(checks.rules_at(Cadence.NIGHTLY)) + len(checks.rules_at(Cadence.HOURLY))
    said = str(found["audit/whole_history:stays_match_events"].description)
    assert f"The check could not run: {type(error).__name__}" in said
    assert ("no answer" in said) is not isinstance(error, pl.exceptions.ComputeError)
    assert "Roe" not in said


@pytest.mark.parametrize(
    "error", [pl.exceptions.PanicException("Jane Roe"), pl.exceptions.ComputeError("parquet: Roe")]
)
def test_a_check_that_a_damaged_file_stops_names_the_repair_and_not_its_own_remedy(
    error: BaseException, tmp_path: Path
) -> None:
    def fails(_: object) -> Finding:
        raise error

    rule = replace(catalogue.VISIT_NUMBERS_UNAMBIGUOUS, evaluate=fails)
    services = Services(load({"PATIENT_FLOW_LAKE_URI": f"{tmp_path}/{{layer}}"}, environ={}))
    said = rule.describe(checks.evaluate_history(rule, services, datetime.now(UTC), ReadProgress))
    assert said == (
        "The check could not run: a data file cannot be decoded. Launch the job `lake_repair`, or run "
        "`patient-flow lake repair`. The next evaluation tries again."
    )


def test_a_job_whose_checks_fail_names_itself_and_the_checks(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "schemas_match", lambda _: error_finding("A column is missing."))
    found = hospital.run(hourly_checks.name)
    assert not found.result.success
    failure = found.result.failure_data_for_node("check_recent_data")
    assert failure is not None
    assert failure.user_failure_data is not None
    said = str(failure.user_failure_data.description)
    assert said == "hourly_checks: hourly checks failed: schemas_match"


def old_stay_changed(hospital: Hospital) -> None:
    _changed_in_loaded_history(hospital, tables.FACT_PATIENT_FLOW, {"wait_minutes": "7.0"})


def old_census_changed(hospital: Hospital) -> None:
    _changed_in_loaded_history(hospital, tables.FACT_BED_CENSUS, {"occupied_beds": "7"})


def value_changed_in_the_warehouse(hospital: Hospital) -> None:
    hospital.sql("UPDATE FactPatientFlow SET bed_id = 'x'")


def view_gone(hospital: Hospital) -> None:
    hospital.sql("DROP VIEW Overstays")


def old_key_again(hospital: Hospital) -> None:
    again(hospital.table(tables.KPI_DEPARTMENT_DAY))
    _as_loaded(hospital, tables.KPI_DEPARTMENT_DAY)


def _changed_in_loaded_history(hospital: Hospital, table: tables.Table, updates: dict[str, str]) -> None:
    hospital.table(table)._handle.update(updates=updates)
    _as_loaded(hospital, table)


def _as_loaded(hospital: Hospital, table: tables.Table) -> None:
    """As if the damage were old: whoever follows the table has seen it."""
    version = hospital.table(table).version
    hospital.sql(f"UPDATE LoadLog SET gold_version = {version} WHERE table_name = '{table.warehouse_name}'")


@pytest.mark.parametrize(
    ("damage", "check"),
    [
        (old_stay_changed, "stays_match_events"),
        (old_census_changed, "census_matches_facts"),
        (old_key_again, "keys_unique"),
        (value_changed_in_the_warehouse, "warehouse_matches_gold"),
        (view_gone, "schemas_match"),
    ],
    ids=lambda argument: getattr(argument, "__name__", argument),
)
def test_the_audit_finds_faults_that_micro_batches_never_read(
    damage: Callable[[Hospital], None], check: str, hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("patient_flow.pipeline.inspection.AUDIT_PARTS", 1)  # all visits at once
    damage(hospital)
    found = hospital.audit()
    name = f"audit/whole_history:{check}"
    assert name in found.failed
    assert found.result.success is (found[name].severity is dg.AssetCheckSeverity.WARN)


def test_an_idle_hospital_is_looked_at_again_unless_the_hub_is_silent(
    new_hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tick() -> dg.RunRequest | dg.SkipReason:
        return heartbeat(new_hospital.instance, new_hospital.resource)

    assert "a moment ago" in str(tick())
    monkeypatch.setattr("patient_flow.orchestration.check_jobs.MIN_PAUSE", timedelta(0))
    assert isinstance(tick(), dg.RunRequest)
    new_hospital.hub.stop()
    assert "patient-flow hub" in str(tick())


def test_no_idle_run_is_requested_beside_a_run_of_single_assets(hospital: Hospital) -> None:
    hospital.instance.add_run(
        dg.DagsterRun(job_name=ASSET_JOB, run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.STARTED)
    )
    assert "queued or running" in str(heartbeat(hospital.instance, hospital.resource))


def test_a_hub_that_never_answers_does_not_hold_the_idle_tick_up(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_jobs, "MIN_PAUSE", timedelta(0))
    monkeypatch.setattr(check_jobs, "probe_hub", functools.partial(probe_hub, seconds=0.1))
    released = threading.Event()
    monkeypatch.setattr(Hub, "peek", lambda hub: released.wait())
    try:
        assert "does not answer" in str(heartbeat(hospital.instance, hospital.resource))
    finally:
        released.set()


def test_before_the_first_load_no_idle_run_is_requested(tmp_path: Path, hub_thread: HubThread) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        new = Hospital(tmp_path, hub_thread, instance)
        reason = heartbeat(instance, new.resource)
    assert isinstance(reason, dg.SkipReason)
    assert "nothing was ever loaded" in str(reason.skip_message)


def test_checks_can_be_executed_alone_from_the_ui(hospital: Hospital) -> None:
    defs = build_defs(hospital.resource)
    job = dg.define_asset_job(
        "alone", dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey(["warehouse", "DimTime"]), "row_counts_match"))
    )
    resolved = dg.Definitions(
        assets=defs.assets,
        asset_checks=defs.asset_checks,
        jobs=[job],
        resources={"patient_flow": hospital.resource},
    ).resolve_job_def("alone")
    found = Findings(resolved.execute_in_process(instance=hospital.instance))
    assert set(found.evaluations) == {"warehouse/DimTime:row_counts_match"}
    assert found.made == set()
