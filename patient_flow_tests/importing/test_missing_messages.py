"""With messages missing from the stream, nightly ward lists keep each morning's census right, and name the faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow_tests.importing import nights
from patient_flow_tests.stacks import Stack

LIST = """hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from,class
1,Saint-Aubin,Emergency,40,60,6,2020-01-01,emergency
1,Saint-Aubin,ICU,16,40,48,2020-01-01,critical_care
1,Saint-Aubin,Surgery,60,80,60,2020-01-01,inpatient
"""


@pytest.mark.long
@pytest.mark.embedded_only("stores are not what this is about")
def test_the_census_of_every_morning_is_right_although_messages_are_missing(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(LIST)
    (tmp_path / "rules.toml").write_text(nights.RULES)
    settings = {
        **stack.settings(),
        "PATIENT_FLOW_DEPARTMENTS": str(tmp_path / "list.csv"),
        "PATIENT_FLOW_EXTRACT_RULES": str(tmp_path / "rules.toml"),
    }
    services = Services(load(settings, environ={}))
    rates = {"discharge": 0.15, "admission": 0.1, "transfer": 0.15}
    wrong, named = 0, set()
    for morning in nights.mornings(services, tmp_path, days=4, seed=11, rates=rates):
        assert morning.census == morning.truth, morning.taken_at
        for visit, kinds in morning.lost.items():
            assert morning.named.get(visit) in kinds, (morning.taken_at, visit)
        wrong += morning.wrong_beds
        named |= set(morning.named.values())
    assert wrong > 10, "without corrections the census would be wrong"
    assert len(named) >= 3
    services.warehouse.dispose()
