"""Old runs go with everything they left on disk; what runs, what failed lately and what is newest stays."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from azure.storage.blob import PartialBatchErrorException
from dagster_azure.blob import AzureBlobComputeLogManager

from patient_flow.orchestration import housekeeping
from patient_flow.orchestration.housekeeping import prune

DAY = timedelta(days=1)


@dg.op
def says_something() -> None:
    print("hello")  # noqa: T201


@dg.job(executor_def=dg.in_process_executor)
def one_op() -> None:
    says_something()


@dg.asset
def table() -> None:
    pass


@dg.asset_check(asset=table)
def holds() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


CHECK = dg.AssetCheckKey(dg.AssetKey("table"), "holds")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    monkeypatch.setattr(housekeeping, "MIN_KEPT_RUNS", 1)
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return dg.DagsterInstance.from_config(str(tmp_path))


def files_of(folder: Path, run_id: str) -> list[Path]:
    return [path for path in folder.rglob("*") if run_id in str(path) and path.is_file()]


def test_an_old_run_goes_with_its_events_and_logs_and_the_newest_stays(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    with instance:
        old, new = (one_op.execute_in_process(instance=instance).run_id for _ in range(2))
        assert files_of(tmp_path, old)
        done = prune(instance, datetime.now(UTC) + 10 * DAY, DAY, DAY)
        assert (done.runs, done.bytes > 0) == (1, True)
        assert files_of(tmp_path, old) == []
        assert [run.run_id for run in instance.get_runs()] == [new]
        assert instance.all_logs(new)


def test_what_is_young_or_still_runs_stays(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    with instance:
        for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.SUCCESS):
            instance.add_run(dg.DagsterRun(job_name="one_op", run_id=str(uuid.uuid4()), status=status))
        assert prune(instance, datetime.now(UTC), DAY, DAY).runs == 0
        prune(instance, datetime.now(UTC) + 2 * DAY, DAY, DAY)
        left = {run.status for run in instance.get_runs()}
        assert {dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING} <= left


def test_a_failed_run_is_kept_longer(instance: dg.DagsterInstance) -> None:
    with instance:
        failed = str(uuid.uuid4())
        instance.add_run(dg.DagsterRun(job_name="one_op", run_id=failed, status=dg.DagsterRunStatus.FAILURE))
        one_op.execute_in_process(instance=instance)
        assert prune(instance, datetime.now(UTC) + 2 * DAY, DAY, 30 * DAY).runs == 0
        assert prune(instance, datetime.now(UTC) + 31 * DAY, DAY, 30 * DAY).runs == 1


@pytest.mark.parametrize(("most", "deleted"), [(5000, 9), (7, 7)])
def test_more_runs_than_a_page_holds_go_in_one_pass_the_oldest_first(
    most: int, deleted: int, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_PAGE", 2)
    with instance:
        ids = [str(uuid.uuid4()) for _ in range(10)]
        for number, run_id in enumerate(ids):
            # runs that stay lie between those that go, also at the edge of a page
            status = dg.DagsterRunStatus.SUCCESS if number % 3 else dg.DagsterRunStatus.CANCELED
            instance.add_run(dg.DagsterRun(job_name="one_op", run_id=run_id, status=status))
            instance.add_run(
                dg.DagsterRun(job_name="one_op", run_id=str(uuid.uuid4()), status=dg.DagsterRunStatus.FAILURE)
            )
        monkeypatch.setattr(housekeeping, "MIN_KEPT_RUNS", 2)
        assert prune(instance, datetime.now(UTC) + 2 * DAY, DAY, 30 * DAY, max_runs=most).runs == deleted
        left = [run.run_id for run in instance.get_runs() if run.status is not dg.DagsterRunStatus.FAILURE]
        assert left == list(reversed(ids[deleted:]))
        assert instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE])) == 10


def test_the_results_of_a_check_go_with_their_runs_and_the_newest_stays(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_PAGE", 2)
    with instance:
        runs = [dg.materialize([table, holds], instance=instance).run_id for _ in range(4)]
        one_op.execute_in_process(instance=instance)  # the newest run of all, so that those of the checks are old
        history = instance.event_log_storage.get_asset_check_execution_history
        assert len(history(CHECK, limit=10)) == 4
        assert prune(instance, datetime.now(UTC) + 2 * DAY, DAY, DAY).runs == 4
        assert [record.run_id for record in history(CHECK, limit=10)] == [runs[-1]]


class HierarchicalContainer:
    """A container as an account with a hierarchical namespace shows it: directories are listed, and not deleted."""

    def list_blobs(self, name_starts_with: str) -> list[SimpleNamespace]:
        directory = name_starts_with + "compute_logs"
        return [SimpleNamespace(name=name) for name in (directory, f"{directory}/says_something.out")]

    def delete_blobs(self, *names: str) -> None:
        raise PartialBatchErrorException("There is a partial failure in the batch operation.", None, [*names])


@pytest.fixture
def run_logs_in_blobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Production's log manager; the folder in which it keeps what is not uploaded yet."""
    folder = tmp_path / "waiting"
    manager = AzureBlobComputeLogManager("account", "logs", access_key_or_sas_token="a2V5", local_dir=str(folder))
    monkeypatch.setattr(manager, "_container_client", HierarchicalContainer())
    monkeypatch.setattr(dg.DagsterInstance, "compute_log_manager", manager)
    return folder


def finished_runs(instance: dg.DagsterInstance, count: int) -> list[str]:
    ids = [str(uuid.uuid4()) for _ in range(count)]
    for run_id in ids:
        instance.add_run(dg.DagsterRun(job_name="one_op", run_id=run_id, status=dg.DagsterRunStatus.SUCCESS))
    return ids


def test_run_logs_in_a_lake_that_refuses_to_delete_directories_stop_nothing(
    instance: dg.DagsterInstance, run_logs_in_blobs: Path
) -> None:
    with instance:
        ids = finished_runs(instance, 4)
        for run_id in ids:
            (run_logs_in_blobs / run_id).mkdir(parents=True)
            (run_logs_in_blobs / run_id / "says_something.out").touch()
        assert prune(instance, datetime.now(UTC) + 2 * DAY, DAY, DAY).runs == 3
        assert [run.run_id for run in instance.get_runs()] == ids[-1:]
        assert [path.name for path in run_logs_in_blobs.iterdir()] == ids[-1:]


def test_a_log_file_that_cannot_be_deleted_stops_nothing(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise PermissionError("somebody else's file")

    monkeypatch.setattr(instance.compute_log_manager, "delete_logs", refuse)
    with instance:
        finished_runs(instance, 4)
        assert prune(instance, datetime.now(UTC) + 2 * DAY, DAY, DAY).runs == 3
