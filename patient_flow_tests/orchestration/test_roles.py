"""The pipeline on PostgreSQL with no more rights than a deployment gives it: it loads, checks and watches."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from patient_flow.local_hub.testing import HubThread
from patient_flow.orchestration.probes import department_hours
from patient_flow.status import progress
from patient_flow_tests.orchestration.test_checks import TODAY, Hospital
from patient_flow_tests.stacks import Servers
from patient_flow_tests.stores.warehouse.roles import PIPELINE, guard_as_deployed, url_of

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def test_the_loaders_role_suffices_for_loads_checks_audits_and_alerts(
    tmp_path: Path, running: Servers, hub_thread: HubThread
) -> None:
    """Two loads: the first replaces tables as a whole, the second what changed."""
    url = running.new_url()
    guard_as_deployed(url)
    with dg.DagsterInstance.ephemeral() as instance:
        hospital = Hospital(tmp_path, hub_thread, instance)
        hospital.settings["PATIENT_FLOW_WAREHOUSE_URL"] = url_of(PIPELINE, url)
        hospital.send("a", "b")
        hospital.send("c", admission_time=(TODAY + timedelta(hours=2)).isoformat())
        first = hospital.run()
        hospital.send("d", admission_time=(TODAY + timedelta(hours=2)).isoformat())
        for found in (first, hospital.run(), hospital.audit()):
            assert found.result.success
            assert found.failed == set()
    services = hospital.services
    assert "ICU" in department_hours(services, TODAY)["department"]
    assert (shown := progress(services, datetime.now(UTC))) is not None
    assert shown.in_beds == 4
    services.warehouse.dispose()
