"""A run page says in one sentence what is gone, in the step that needed it, with the page of the runbook."""

from __future__ import annotations

import errno
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring.rules.system import RetriedRun, run_retried
from patient_flow.orchestration import failures
from patient_flow.orchestration.automation import _request_run
from patient_flow.orchestration.failures import MAX_RETRIES, described, failure_of
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.orchestration.retries import retried_runs
from patient_flow.settings import load
from patient_flow.stores.hub import HubUnavailable
from patient_flow.stores.lake.errors import LakeDamaged, LakeUnavailable
from patient_flow.stores.warehouse.errors import WarehouseUnavailable
from patient_flow_tests.orchestration.test_micro_batch import materialize_on, send, snapshot

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
ROOT = Path(failures.__file__).parents[2]


def failed_steps(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step → the sentence of its failure."""
    return {
        str(event.step_key): str(event.step_failure_data.user_failure_data.description)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.user_failure_data is not None
    }


@pytest.mark.embedded_only("a hub, a folder and a file that are away; what Dagster is told is the same on any storage")
def test_each_store_that_is_away_fails_its_own_step_with_one_sentence(
    tmp_path: Path, hub_thread: HubThread, instance: dg.DagsterInstance
) -> None:
    overrides = {
        "PATIENT_FLOW_LAKE_URI": f"{tmp_path}/lake/{{layer}}",
        "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{tmp_path}/warehouse/warehouse.db",
        "PATIENT_FLOW_EVENTHUB_CONNECTION": hub_thread.connection,
    }
    port = hub_thread.connection.partition(";")[0].rpartition(":")[2].strip("/")
    send(hub_thread, [snapshot("a")])
    (tmp_path / "warehouse").touch()  # no folder: the warehouse cannot be opened
    without_warehouse = materialize_on(instance, PatientFlow(overrides=overrides))
    [(step, sentence)] = failed_steps(without_warehouse).items()
    assert step == "warehouse_tables"
    assert "cannot be created" in sentence
    assert sentence.endswith("See infra/docs/runbook/store_down.md.")
    (tmp_path / "warehouse").unlink()
    (tmp_path / "warehouse").mkdir()
    assert materialize_on(instance, PatientFlow(overrides=overrides)).success

    (tmp_path / "lake" / "silver").rename(tmp_path / "elsewhere")
    (tmp_path / "lake" / "silver").touch()
    send(hub_thread, [snapshot("b")])
    without_silver = failed_steps(materialize_on(instance, PatientFlow(overrides=overrides)))
    assert without_silver
    for sentence in without_silver.values():
        assert "/lake/silver/" in sentence
        assert sentence.endswith("See infra/docs/runbook/store_down.md.")

    hub_thread.stop()
    [(step, sentence)] = failed_steps(materialize_on(instance, PatientFlow(overrides=overrides))).items()
    assert step == "bronze__patient_events"
    assert f"at 127.0.0.1:{port} cannot be read" in sentence
    assert sentence.endswith("See infra/docs/runbook/hub_down.md.")
    assert sentence.count(". ") <= 2

    listed = tmp_path / "departments.csv"
    listed.write_text(
        "hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from\n1,A,B,x,,,\n"
    )
    wrong = PatientFlow(overrides={**overrides, "PATIENT_FLOW_DEPARTMENTS": str(listed)})
    with_wrong_list = materialize_on(instance, wrong)
    [(step, sentence)] = failed_steps(with_wrong_list).items()
    assert (step, "line 2: staffed_beds is 'x'" in sentence) == ("bronze__patient_events", True)
    assert sentence.endswith("See infra/docs/runbook/settings_invalid.md.")
    [failure] = [event for event in with_wrong_list.all_events if event.is_step_failure]
    assert failure.step_failure_data.error.cause is None
    skipped = _request_run(instance, wrong)
    assert isinstance(skipped, dg.SkipReason)
    assert skipped.skip_message == sentence


@pytest.mark.parametrize(
    ("error", "page", "words"),
    [
        (HubUnavailable("The hub is away"), "hub_down", "The hub is away. See "),
        (LakeDamaged("gold/x is damaged."), "damaged_table", "gold/x is damaged. See "),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/lake/x"), "disk_full", "The disk is full: "),
        (LakeUnavailable("cannot write x: No space left on device (os error 28)"), "disk_full", "The disk is full: "),
        (WarehouseUnavailable("w: database or disk is full"), "disk_full", "The disk is full: "),
        (
            WarehouseUnavailable("w: no such column: V.x"),
            "store_down",
            "V.x: run `patient-flow warehouse migrate`. See ",
        ),
        (
            LakeUnavailable("cannot write bronze/x: Unable to open file /lake/x: Permission denied (os error 13)"),
            "store_down",
            f"(user id {os.geteuid()}) may not read or write a file: give the permission back",
        ),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/lake/x"), "store_down", "mount the disk writable ("),
        (WarehouseUnavailable("w: database is locked"), "store_down", "Another program has locked the warehouse"),
    ],
)
def test_a_sentence_names_the_cause_and_a_page_that_exists(error: Exception, page: str, words: str) -> None:
    failure = failure_of(error, allow_retries=True)
    assert failure.description is not None
    assert words in failure.description
    assert failure.description.endswith(f"See infra/docs/runbook/{page}.md.")
    assert (ROOT / "infra" / "docs" / "runbook" / f"{page}.md").exists()


def test_a_full_disk_is_named_with_its_free_room(tmp_path: Path) -> None:
    settings = load({"PATIENT_FLOW_LAKE_URI": f"{tmp_path}/lake/{{layer}}"}, environ={})
    with pytest.raises(dg.Failure) as raised, described(settings=settings):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/lake/x")
    assert re.match(rf"The disk is full \([\d,]+ of [\d,]+ MiB free on the disk of {tmp_path}/lake", str(raised.value))


class Attempt:
    """The part of an op's context that says how often it was tried before."""

    def __init__(self, retry_number: int) -> None:
        self.retry_number = retry_number


@pytest.mark.parametrize(("attempt", "is_retried"), [(0, True), (MAX_RETRIES, False)])
def test_the_last_attempt_shows_the_failure_itself_and_no_chain_of_causes(attempt: int, is_retried: bool) -> None:
    with pytest.raises(dg.Failure) as raised, described(Attempt(attempt)):  # type: ignore[arg-type]
        raise HubUnavailable("away")
    assert raised.value.allow_retries is is_retried
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


@pytest.mark.embedded_only("what Dagster records of a step; no store of ours")
def test_a_step_that_is_repeated_is_an_alert_before_its_last_attempt(instance: dg.DagsterInstance) -> None:
    seen: list[list[RetriedRun]] = []

    @dg.op(retry_policy=dg.RetryPolicy(max_retries=2))
    def load_tables(context) -> None:  # type: ignore[no-untyped-def]  # Dagster reads no annotation that is text
        now = datetime.now(UTC)
        seen.append(retried_runs(context.instance, now + timedelta(minutes=1)))
        if context.retry_number == 0:
            with described(context):
                raise WarehouseUnavailable("w: database is locked")
        if context.retry_number == 1:
            seen.append(retried_runs(context.instance, now))
            raise ValueError("of a patient")

    @dg.job(name="micro_batch")
    def job() -> None:
        load_tables()

    run_id = job.execute_in_process(instance=instance).run_id
    sentence = "load_tables: Another program has locked the warehouse, end it: w: database is locked. See "
    assert seen == [
        [],
        [RetriedRun("micro_batch", run_id, f"{sentence}infra/docs/runbook/store_down.md.")],
        [],  # it may heal within seconds
        [RetriedRun("micro_batch", run_id, "load_tables failed")],
    ]
    assert retried_runs(instance, datetime.now(UTC) + timedelta(minutes=1)) == []
    (finding,) = run_retried(seen[1])
    assert finding.message.startswith("A step of micro_batch is repeated: load_tables: Another program")


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(KeyError), described():
        raise KeyError("bug")
