"""The list of departments: read from where a hospital keeps it, and refused with the line that is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from deltalake import write_deltalake

from patient_flow.contracts import departments
from patient_flow.contracts.departments import DepartmentListError
from patient_flow.stores.reference import COLUMNS, read_departments, write_departments
from patient_flow_tests.stacks import Stack

HEADER = ",".join(name for name in COLUMNS if name not in departments.OPTIONAL)
LINE = "H1,Hospital One,ICU,12,20,48,2026-01-01"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "departments.csv"


def test_a_csv_file_is_read_with_its_types(file: Path) -> None:
    file.write_text(f"{HEADER}\n{LINE}\nH1, Hospital One ,Surgery,,,,2026-01-01T06:30:00+02:00\n")
    found = read_departments(str(file))
    assert found.schema == COLUMNS
    assert found.select(HEADER.split(",")).rows() == [
        ("H1", "Hospital One", "ICU", 12, 20, 48.0, datetime(2026, 1, 1, tzinfo=UTC)),
        ("H1", "Hospital One", "Surgery", None, None, None, datetime(2026, 1, 1, 4, 30, tzinfo=UTC)),
    ]
    assert all(found[name].null_count() == 2 for name in departments.OPTIONAL)


def test_columns_that_a_list_may_leave_out_are_read_where_it_has_them(file: Path) -> None:
    header = f"{HEADER},class,beds,women_beds,men_beds,unconfirmed_days,valid_to"
    file.write_text(f"{header}\n{LINE},Critical_Care,14,6,6,30,2027-01-01\n{LINE.replace('ICU', 'Ward')},,,,,,\n")
    found = read_departments(str(file)).select(departments.OPTIONAL)
    assert found.rows() == [
        ("critical_care", 14, 6, 6, 30, datetime(2027, 1, 1, tzinfo=UTC)),
        (None,) * len(departments.OPTIONAL),
    ]
    file.write_text(f"{header}\n{LINE},ward,14,6,6,30,2027-01-01\n")
    with pytest.raises(DepartmentListError, match="line 2: class is 'ward', which is not a class of a department"):
        read_departments(str(file))


def test_a_delta_table_is_read_with_the_lakes_credentials(stack: Stack) -> None:
    place = stack.lake_uri().format(layer="bronze") + "/reference/departments"
    shipped = read_departments()
    write_deltalake(place, shipped)
    assert read_departments(place).equals(shipped)
    write_departments(shipped.head(3), place)
    assert read_departments(place).equals(shipped.head(3))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("H1,Hospital One,,12,20,48,2026-01-01", "line 3: department is empty"),
        ("H1,Hospital One,ICU,many,20,48,2026-01-01", "line 3: staffed_beds is 'many', which is not a whole number"),
        ("H1,Hospital One,ICU,12,20,48,soon", "line 3: valid_from is 'soon'"),
        ("H1,Hospital One,ICU,-1,20,48,2026-01-01", "line 3: staffed_beds is '-1', which is negative"),
        ("Unknown,Hospital One,Unknown,12,20,48,2026-01-01", "names Unknown in Unknown, which stands for"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line: str, said: str, file: Path) -> None:
    file.write_text(f"{HEADER}\n{LINE}\n{line}\n")
    with pytest.raises(DepartmentListError, match=said):
        read_departments(str(file))


def test_a_list_with_semicolons_decimal_commas_and_windows_letters_is_read(file: Path) -> None:
    lines = [f"\ufeff{HEADER.replace(',', ';')};Class", "H1;Hôpital;Réa;12;20;48,5;2026-01-01;inpatient", ";;;;;;;", ""]
    expected = ("H1", "Hôpital", "Réa", 12, 20, 48.5, datetime(2026, 1, 1, tzinfo=UTC), "inpatient")
    for data in ("\r\n".join(lines).encode(), "\n".join(lines).removeprefix("\ufeff").encode("cp1252")):
        file.write_bytes(data)
        assert read_departments(str(file)).select(*HEADER.split(","), "class").rows() == [expected]


def test_all_faults_of_the_list_are_named_at_once_with_line_and_column(file: Path) -> None:
    broken = [
        LINE,
        LINE.replace("Hospital One", "x" * 197).replace("ICU", "Ward"),
        LINE.replace("ICU", "Surgery").replace("48", "48,5"),  # a decimal comma needs another separator
        LINE,
        LINE.replace("ICU", "").replace("12", "many"),
    ]
    file.write_text("\n".join([f"{HEADER},valid_to", *(f"{line},2020-01-01" for line in broken)]))
    with pytest.raises(DepartmentListError) as raised:
        read_departments(str(file))
    said = str(raised.value)
    for fault in (
        "line 2: valid_to is not later than valid_from",
        "line 3: hospital_name has 197 characters, of 128 at most",
        "line 4: 9 values for 8 columns",
        "line 6: department is empty",
        "line 6: staffed_beds is 'many', which is not a whole number",
    ):
        assert fault in said
    file.write_text("\n".join([HEADER, LINE, LINE]))
    with pytest.raises(DepartmentListError, match="line 3: department 'ICU' of hospital 'H1' has two lines"):
        read_departments(str(file))


def test_a_missing_column_of_the_list_is_named(file: Path) -> None:
    file.write_text("hospital_id,hospital_name,department,staffed_beds,staff,valid_from\n")
    with pytest.raises(DepartmentListError, match="lacks the columns expected_los_hours"):
        read_departments(str(file))


def test_a_path_without_a_list_is_refused_with_the_remedy(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere", tmp_path / "nowhere.csv"):
        with pytest.raises(DepartmentListError, match=r"PATIENT_FLOW_DEPARTMENTS: .*give a CSV file or a Delta table"):
            read_departments(str(place))


def test_a_store_that_refuses_is_reported_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_place: str) -> None:
        raise OSError("Generic MicrosoftAzure error\n  403 Forbidden: no right to read")

    monkeypatch.setattr("patient_flow.stores.reference.DeltaTable", refuse)
    with pytest.raises(
        DepartmentListError, match=r"cannot be read \(.* 403 Forbidden: no right to read\); give"
    ) as raised:
        read_departments("abfss://bronze@account.dfs.core.windows.net/reference/departments")
    assert "\n" not in str(raised.value)


def test_the_shipped_list_has_the_declared_columns() -> None:
    found = read_departments()
    assert found.schema == COLUMNS
    assert found.select(pl.struct("hospital_id", "department").n_unique()).item() == 49


def test_the_parsed_columns_are_those_of_the_frame() -> None:
    assert tuple(COLUMNS) == departments.COLUMNS


def test_every_fault_is_reported_with_its_line_and_column() -> None:
    good = dict(zip(HEADER.split(","), LINE.split(","), strict=True))
    parsed, faults = departments.parse(
        [good, {**good, "staff": "1e3", "valid_from": "2026-01-01T06:30:00"}, {**good, "expected_los_hours": "nan"}]
    )
    assert [department.department for department in parsed] == ["ICU"]
    assert [(fault.line, fault.column) for fault in faults] == [
        (3, "staff"),
        (3, "valid_from"),
        (4, "expected_los_hours"),
    ]
