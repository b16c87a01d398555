"""The project holds together, and the checks that say so find what is wrong: mistakes planted one by one."""

from __future__ import annotations

import polars as pl
import pytest

from patient_flow.powerbi import project
from patient_flow.powerbi.declarations import Storage
from patient_flow_tests.powerbi.checks import problems

MODEL = "PatientFlow.SemanticModel/definition"
CENSUS = f"{MODEL}/tables/FactBedCensus.tmdl"
STAYS = f"{MODEL}/tables/FactPatientFlow.tmdl"
DAYS = f"{MODEL}/tables/DimDate.tmdl"
VISUALS = "PatientFlow.Report/definition/pages/overview/visuals"
BARS = f"{VISUALS}/occupancy_by_department_and_gender/visual.json"


@pytest.mark.parametrize("storage", Storage)
def test_the_project_is_sound(departments: pl.DataFrame, storage: Storage) -> None:
    assert problems(project.files(departments, storage=storage)) == []


@pytest.mark.parametrize(
    ("path", "right", "wrong"),
    [
        pytest.param(CENSUS, "SUM(FactBedCensus[occupied_beds])", "SUM(FactBedCensus[occupied_beds]", id="parenthesis"),
        pytest.param(CENSUS, "SUM(FactBedCensus[occupied_beds])", "SUM(FactBedCensus[occupied])", id="column in DAX"),
        pytest.param(CENSUS, "SUM(FactBedCensus[occupied_beds])", "SUM(BedCensus[occupied_beds])", id="table in DAX"),
        pytest.param(CENSUS, "SUM(FactBedCensus", "SUMM(FactBedCensus", id="function"),
        pytest.param(CENSUS, "DIVIDE([Discharges] +", "DIVIDE([Discharged] +", id="measure in DAX"),
        pytest.param(CENSUS, ", [Staffed bed hours])", ")", id="too few arguments"),
        pytest.param(CENSUS, "DIVIDE([Discharges] + 0,", "DIVIDE([Discharges] + 0, 1, 2,", id="too many arguments"),
        pytest.param(CENSUS, ">= FirstHour", ">= FirstHours", id="variable"),
        pytest.param(CENSUS, ">= FirstHour", ">= 0", id="unused variable"),
        pytest.param(CENSUS, "DimTime[is_day_start] = TRUE()", "DimTime[is_day_start] = #", id="sign in DAX"),
        pytest.param(CENSUS, "\tformatString: 0.0%", "\tformatText: 0.0%", id="property"),
        pytest.param(CENSUS, "mode: import", "mode: imported", id="storage mode"),
        pytest.param(CENSUS, "\t\tdataType: int64", "\t\tdataType: integer", id="data type"),
        pytest.param(CENSUS, "\tmeasure 'Bed occupancy %'", "\t\tmeasure 'Bed occupancy %'", id="too deep"),
        pytest.param(CENSUS, "\t\tformatString: 0.0%", "        formatString: 0.0%", id="spaces for tabs"),
        pytest.param(CENSUS, "\t\tsourceColumn: gender\n", "", id="no source column"),
        pytest.param(CENSUS, "sourceColumn: gender", "sourceColumn: sex", id="source column that M does not read"),
        pytest.param(CENSUS, "(WarehouseServer,", "(WarehouseHost,", id="M parameter"),
        pytest.param(CENSUS, "Sql.Database", "Sql.Databases", id="M function"),
        pytest.param(CENSUS, "[Data],", "[Data,", id="M bracket"),
        pytest.param(CENSUS, "in\n\t\t\t\t\tColumns", "in\n\t\t\t\t\tColumn", id="M result"),
        pytest.param(CENSUS, "column gender", "column time_key", id="column twice"),
        pytest.param(CENSUS, "measure 'Staffed hours'", "measure 'Staffed bed hours'", id="measure twice"),
        pytest.param(CENSUS, "\t/// Gender\n", "", id="description"),
        pytest.param(CENSUS, "table FactBedCensus", "table FactCensus", id="name of the file"),
        pytest.param(DAYS, "sortByColumn: weekday", "sortByColumn: day", id="sorting column"),
        pytest.param(DAYS, "column: month_name", "column: month_names", id="column of a level"),
        pytest.param(DAYS, "WEEKDAY(DimDate[date], 2)", "WEEKDAY(DimDate[day], 2)", id="column of a calculated column"),
        pytest.param(f"{MODEL}/model.tmdl", "ref table DimDate\n", "", id="table not listed"),
        pytest.param(f"{MODEL}/model.tmdl", "ref table DimDate", "ref table DimDates", id="listed table missing"),
        pytest.param(f"{MODEL}/model.tmdl", "ref role 'Hospital 1'\n", "", id="role not listed"),
        pytest.param(f"{MODEL}/database.tmdl", "1600", "16OO", id="compatibility level"),
        pytest.param(
            f"{MODEL}/relationships.tmdl",
            "toColumn: DimGender.gender",
            "toColumn: DimGender.sex",
            id="column of a relationship",
        ),
        pytest.param(
            f"{MODEL}/relationships.tmdl",
            "toColumn: DimGender.gender",
            "toColumn: DimTime.time_key",
            id="types of a relationship",
        ),
        pytest.param(f"{MODEL}/relationships.tmdl", "\tisActive: false\n", "", id="two active relationships"),
        pytest.param(
            f"{MODEL}/relationships.tmdl",
            "\tfromColumn: DataQualityDay.hospital_id\n\ttoColumn: DimHospital.hospital_id",
            "\tfromColumn: FactPatientFlow.gender\n\ttoColumn: DimHospital.hospital_id",
            id="two ways for a filter",
        ),
        pytest.param(f"{MODEL}/roles/Hospital 1.tmdl", "[hospital_id]", "[hospital]", id="column of a role"),
        pytest.param(
            f"{MODEL}/roles/Hospital 1.tmdl", "Permission DimHospital", "Permission Dim", id="table of a role"
        ),
        pytest.param(f"{MODEL}/roles/Reader scope.tmdl", "USERPRINCIPALNAME", "USERNAMES", id="function of a role"),
        pytest.param(BARS, '"Series"', '"Legend"', id="field well"),
        pytest.param(BARS, '"barChart"', '"barChar"', id="type of a visual"),
        pytest.param(BARS, '"Property": "gender"', '"Property": "sex"', id="column of a visual"),
        pytest.param(BARS, '"Entity": "FactBedCensus"', '"Entity": "FactPatientFlow"', id="home of a measure"),
        pytest.param(BARS, '"Property": "Bed occupancy %"', '"Property": "Occupancy"', id="measure of a visual"),
        pytest.param(BARS, '"width": 618', '"width": 6180', id="size of a visual"),
        pytest.param(BARS, "{", "", id="JSON"),
        pytest.param(
            "PatientFlow.Report/definition/pages/pages.json", '"operations"', '"operation"', id="page that is missing"
        ),
        pytest.param(
            "PatientFlow.Report/definition.pbir", "../PatientFlow.", "../PatientFlows.", id="model of the report"
        ),
    ],
)
def test_a_planted_mistake_is_found(files: dict[str, str], path: str, right: str, wrong: str) -> None:
    assert right in files[path]
    assert problems({**files, path: files[path].replace(right, wrong, 1)})
