"""Every measure of the generated model, evaluated by an independent DAX engine, against the same number from Polars."""

from __future__ import annotations

import pytest

from patient_flow.contracts.events import GENDERS
from patient_flow.contracts.views import VIEWS
from patient_flow.powerbi.measures import MEASURES
from patient_flow_tests.powerbi.dax_engine import Model
from patient_flow_tests.powerbi.expected import Choice, measures
from patient_flow_tests.powerbi.star import Star

EVERYTHING = Choice()
NAMES = [measure.name for measure in MEASURES]
CHARTS = {measure.name for measure in MEASURES if measure.folder == "Over time"}
"""Of the chosen days: the engine's ALLSELECTED leaves filters on months aside, so these are compared without one."""
DAY_GRAIN = {measure.name for measure in MEASURES if measure.folder in ("Daily table", "Data quality")}
"""Measures of tables that know days, not hours."""


MEASURES_OF_VIEWS = {
    "BedOccupancyHourly": {"Bed occupancy %", "Midnight bed occupancy %"},
    "BedOccupancyByGender": {"Occupied bed hours", "Staffed bed hours"},
    "AdmissionsDaily": {"Admissions", "Transfers", "Discharges", "Visits"},
    "WaitingTimes": {
        "Mean wait minutes",
        "Median wait minutes",
        "90th percentile wait minutes",
        "Waits within 240 minutes %",
    },
    "LengthOfStay": {"Mean length of stay hours", "Median length of stay hours", "Mean current stay hours"},
    "CurrentPatients": {"Patients in beds now"},
    "DepartmentInflow": {"Transfers"},
    "Overstays": {"Overstays", "Overstays ended", "Overstays open"},
    "BedTurnover": {"Average staffed beds", "Bed turnover"},
    "Readmissions": {"Readmission within 30 days %", "Discharges still followed"},
    "BedsNow": {"Patients in beds now", "Staffed beds now", "Free beds now"},
    "BedsExpected": {"Beds expected", "Free beds expected", "Probability of being full"},
    "EmergencyNow": {
        "In the emergency department now",
        "Waiting for a bed now",
        "Longest wait for a bed now minutes",
    },
    "EmergencyDaily": {
        "Attendances",
        "Attendances departed",
        "Departed within four hours %",
        "Attendances over 12 hours",
        "Left without being seen %",
        "Conversion to admission %",
        "Boarding over four hours",
    },
    "ExpectedDischarges": {"Expected discharges today"},
    "DelayedDischarges": {"Delayed discharges", "Sum of delays hours"},
    "LongStays": {f"Patients with {nights} nights or more" for nights in (7, 14, 21)},
    "UnconfirmedStays": {"Unconfirmed stays"},
    "DataFreshness": {"Newest event at", "Data age minutes", "Load lag seconds"},
}
"""View of the contract → the measures that say the same."""


@pytest.fixture(scope="module")
def model(star: Star) -> Model:
    return Model(star)


def test_every_view_of_the_contract_has_its_measures() -> None:
    assert MEASURES_OF_VIEWS.keys() == {view.name for view in VIEWS}
    assert set().union(*MEASURES_OF_VIEWS.values()) <= set(NAMES)


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(Choice(department="ICU"), id="one department"),
        pytest.param(Choice(gender="Female"), id="one gender"),
        pytest.param(Choice(hospital="1"), id="one hospital"),
        pytest.param(Choice(month="April"), id="one month"),
    ],
)
def test_every_measure_is_a_number_and_the_one_from_polars(model: Model, choice: Choice) -> None:
    names = [name for name in NAMES if not choice.month or name not in CHARTS]
    said, wanted = model.values(names, choice.filters), measures(choice)
    assert wanted.keys() == set(NAMES)
    wanted = {name: wanted[name] for name in names}
    # Emergency departments, and classes of departments, are not everywhere; in all places together there is everything.
    missing = {name for name, value in wanted.items() if value is None}
    assert {name for name, value in said.items() if value is None} == missing
    assert not missing or choice != EVERYTHING
    known = [name for name in names if name not in missing]
    assert {name: said[name] for name in known} == pytest.approx({name: wanted[name] for name in known}, rel=1e-9)


@pytest.mark.parametrize("choice", [Choice(shift="night"), Choice(department="ICU", gender="Female", month="May")])
def test_hours_and_several_choices_at_once(model: Model, choice: Choice) -> None:
    names = [name for name in NAMES if name not in DAY_GRAIN and not (choice.month and name in CHARTS)]
    said, wanted = model.values(names, choice.filters), measures(choice)
    known = {name for name in names if wanted[name] is not None}
    assert {name for name in names if said[name] is not None} == known
    assert {name: said[name] for name in known} == pytest.approx({name: wanted[name] for name in known}, rel=1e-9)


def test_occupancy_of_the_genders_adds_up_to_the_departments(model: Model) -> None:
    by_gender = [
        model.values(["Bed occupancy %"], {"DimGender.gender": [gender], "DimDepartment.department": ["ICU"]})
        for gender in GENDERS
    ]
    whole = model.values(["Bed occupancy %"], {"DimDepartment.department": ["ICU"]})
    assert sum(said["Bed occupancy %"] for said in by_gender) == pytest.approx(whole["Bed occupancy %"])


def test_a_staffed_department_without_patients_is_empty_not_unknown(model: Model) -> None:
    said = model.values(["Bed occupancy %", "Staffed bed hours"], {"DimDepartment.department": ["Maternity"]})
    assert said == {"Bed occupancy %": 0, "Staffed bed hours": 5 * (8 * 24 + 13)}


def test_occupancy_of_unknown_beds_is_unknown(model: Model) -> None:
    assert model.values(["Bed occupancy %"], {"DimDepartment.department": ["Annex"]}) == {"Bed occupancy %": None}


def test_daily_table_agrees_with_the_facts(model: Model) -> None:
    names = ("Admissions", "Occupied bed hours", "Staffed bed hours", "Bed occupancy %")
    for choice in (EVERYTHING, Choice(department="ICU"), Choice(gender="Female")):
        said = model.values([*names, *(f"{name} (daily table)" for name in names)], choice.filters)
        assert {name: said[f"{name} (daily table)"] for name in names} == pytest.approx(
            {name: said[name] for name in names}
        )


def test_transfers_by_origin(model: Model) -> None:
    said = model.values(["Transfers"], {"DimOrigin.department": ["Surgery"], "DimDepartment.department": ["ICU"]})
    assert said == {"Transfers": 2}


@pytest.mark.parametrize(
    "broken",
    [
        "SUM(FactBedCensus[occupied_bed])",
        "SUM(FactBedCensus[occupied_beds]",
        "SUMM(FactBedCensus[occupied_beds])",
        "[No such measure]",
    ],
)
def test_the_engine_returns_none_for_an_unsupported_expression(model: Model, broken: str) -> None:
    """So None never passes for a number above."""
    assert model.values(["Broken"], {}, more={"Broken": broken}) == {"Broken": None}
