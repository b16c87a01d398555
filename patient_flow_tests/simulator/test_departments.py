"""The reference list: what is shipped, and what is refused."""

from collections import defaultdict
from pathlib import Path

import pytest

from patient_flow.contracts.departments import DepartmentListError
from patient_flow.simulator import departments

HEADER = "hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from\n"


def test_the_shipped_list_is_seven_hospitals_of_seven_departments_with_about_3500_beds() -> None:
    latest = {(d.hospital_id, d.name): d for d in sorted(departments.load(), key=lambda d: d.valid_from)}
    assert {hospital for hospital, _ in latest} == set(range(1, 8))
    assert {name for _, name in latest} == {
        "Emergency",
        "Surgery",
        "ICU",
        "Pediatrics",
        "Maternity",
        "Oncology",
        "Cardiology",
    }
    assert len(latest) == 49
    assert 3300 <= sum(d.staffed_beds for d in latest.values()) <= 3700


def test_some_departments_of_the_shipped_list_changed_their_capacity() -> None:
    versions = defaultdict(list)
    for department in departments.load():
        versions[department.hospital_id, department.name].append(department)
    changed = [known for known in versions.values() if len(known) > 1]
    assert changed
    assert all(first.staffed_beds != second.staffed_beds for first, second in changed)
    assert all(first.valid_from < second.valid_from for first, second in changed)


def test_another_list_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(HEADER + "H-A,Ours,Surgery,12,20,48.5,2024-01-01T00:00:00Z\n", encoding="utf-8")
    (only,) = departments.load(str(path))
    assert (only.hospital_id, only.name, only.staffed_beds, only.expected_los_hours) == ("H-A", "Surgery", 12, 48.5)


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ("1,Ours,Surgery,many,20,48,2024-01-01T00:00:00Z", "line 2"),
        ("1,Ours,Surgery,12,20,0,2024-01-01T00:00:00Z", "line 2"),
        ("1,Ours,Surgery,12,20,48,yesterday", "line 2"),
        ("1,Ours,Surgery,0,20,48,2024-01-01T00:00:00Z", "no staffed bed"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused_with_the_line(row: str, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(HEADER + row + "\n", encoding="utf-8")
    with pytest.raises(DepartmentListError, match=complaint):
        departments.load(str(path))


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DepartmentListError, match="cannot be read"):
        departments.load(str(tmp_path / "none.csv"))
