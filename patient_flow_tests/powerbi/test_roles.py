"""Row-level security: the conditions of the generated roles, evaluated by the DAX engine on the sample."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl
import pytest

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow.stores.warehouse import access
from patient_flow_tests.powerbi.dax_engine import Model
from patient_flow_tests.powerbi.sample import DEPARTMENTS, EXPECTED, READER
from patient_flow_tests.powerbi.star import Star


def rows(
    star: Star, role: str, table: str, *, signed_in: str = "", more: Mapping[str, pl.DataFrame] | None = None
) -> int:
    """Rows of ``table`` that a member of ``role`` sees; ``more`` are rows in place of the sample's."""
    (node,) = (node for node in star.all("role") if node.name == role)
    (permission,) = (permission for permission in node.all("tablePermission") if permission.name == table)
    return Model(star, more).count(table, permission.expression, signed_in=signed_in)


@pytest.mark.parametrize(
    ("who", "seen_hospitals", "seen_departments"),
    [(READER, 1, 2), (READER.upper(), 1, 2), ("director@hospital.example", 3, 10), ("stranger@hospital.example", 0, 0)],
)
def test_a_reader_sees_what_reader_scope_lists(
    star: Star, who: str, seen_hospitals: int, seen_departments: int
) -> None:
    assert rows(star, "Reader scope", "DimHospital", signed_in=who) == seen_hospitals
    assert rows(star, "Reader scope", "DimDepartment", signed_in=who) == seen_departments


def test_a_reader_sees_own_lines_of_reader_scope_only(star: Star) -> None:
    assert rows(star, "Reader scope", "ReaderScope", signed_in=READER) == 1


def test_static_roles_show_one_hospital_or_one_department(star: Star) -> None:
    assert rows(star, "Hospital 2", "DimHospital") == 1
    assert rows(star, "Department ICU", "DimDepartment") == (DEPARTMENTS["department"] == "ICU").sum()


def test_filters_of_roles_reach_every_fact_with_a_place(star: Star) -> None:
    reached = {"DimHospital"}
    while (
        found := {many.table for many, one, active in star.relationships if active and one.table in reached} - reached
    ):
        reached |= found
    assert reached == {
        "DimHospital",
        "DimDepartment",
        "FactPatientFlow",
        "FactBedCensus",
        "FactEdAttendance",
        "KpiDepartmentDay",
        "DataQualityDay",
        "ForecastBeds",
        "ForecastArrivals",
        "ForecastScore",
        "ForecastShown",
        "BedsExpected",
    }


def test_a_forecast_of_a_whole_hospital_is_for_who_sees_all_of_its_departments(star: Star) -> None:
    assert rows(star, "Reader scope", "BedsExpected", signed_in="director@hospital.example") == EXPECTED.height
    seen = EXPECTED.filter(pl.col("department").is_in(["ICU"])).height
    assert rows(star, "Department ICU", "BedsExpected") == seen
    assert rows(star, "Department Surgery", "BedsExpected") == 0
    assert rows(star, "Reader scope", "BedsExpected", signed_in="stranger@hospital.example") == 0
    assert rows(star, "Reader scope", "BedsExpected", signed_in=READER) == seen


@pytest.mark.parametrize("table", ["ForecastBeds", "ForecastArrivals", "ForecastScore", "ForecastShown"])
def test_every_table_with_totals_shows_them_to_who_sees_the_whole_hospital(star: Star, table: str) -> None:
    """A row per department, and two totals; the reader sees one department, the director all hospitals."""
    placed = [("1", 12), ("1", 13), ("1", 0), ("2", 21), ("2", 0)]
    empty = next(one for one in WAREHOUSE_TABLES if one.warehouse_name == table).empty()
    rows_of = pl.DataFrame(placed, {"hospital_id": pl.String, "department_key": pl.Int64}, orient="row")
    more = {table: pl.concat([empty, rows_of], how="diagonal")}
    seen = {
        (role, who): rows(star, role, table, signed_in=who, more=more)
        for role, who in (
            *(("Reader scope", who) for who in (READER, "director@hospital.example", "stranger@hospital.example")),
            ("Reader scope", "head@hospital.example"),
            ("Department ICU", ""),
        )
    }
    assert list(seen.values()) == [1, 5, 0, 3, 2]
    assert {one.table for many, one, active in star.relationships if many.table == table and active} >= {"DimHospital"}
    assert not [one for many, one, _ in star.relationships if many.table == table and one.table == "DimDepartment"]


def test_no_measure_switches_to_an_inactive_relationship(star: Star) -> None:
    """Power BI refuses USERELATIONSHIP where row-level security is defined, for members of a role only."""
    assert [name for name, measure in star.measures.items() if "USERELATIONSHIP" in measure.expression] == []
    placed = "TREATAS(VALUES(DimDepartment[department_key])"  # of tables that have no relationship with it
    expressions = [measure.expression.replace(placed, "") for measure in star.measures.values()]
    dated = [expression for expression in expressions if "TREATAS(" in expression]
    assert dated
    for expression in dated:
        for removed in ("REMOVEFILTERS(DimTime)", "REMOVEFILTERS(DimDate)"):
            assert expression.count(removed) == expression.count("TREATAS(")


def test_reader_scope_is_the_warehouses_table(star: Star) -> None:
    (created,) = (
        line for line in access.transact_sql("TEXT", ()) if line.startswith("CREATE TABLE security.ReaderScope")
    )
    assert re.findall(r"^ +(\w+) TEXT", created, re.MULTILINE) == list(star.columns["ReaderScope"])
