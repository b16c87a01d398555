"""The views of ``contracts.views``: one template each beside this module, rendered in the SQL of a target.

Templates get the tables by name (``{{ FactPatientFlow }}``), the SQL dialect of the target (``now``, ``this_hour``,
``is_true``, ``hours_since(instant)``, ``flag(condition)``, ``readmission_deadline(instant)``), the fragments
of ``_FRAGMENTS``, and the measures: ``rows``, ``counts``, ``total``, ``percentile``, ``ratio`` (see ``measure_sql``).

Rules for all views: "now" and "open" refer to the time of the query. A ratio stands next to the sums it is made of, so
that a report can add up the sums and divide; percentages are never averaged and never clipped. Percentiles and
distinct counts hold for their row only. Dates and hours are local, through DimTime; instants are UTC. Rows are
per department of a hospital, not per version of it.

Every engine must be able to push a filter on the date down to the tables: SQLite does so through window functions that
are partitioned by the date and into one aggregate, never through an aggregate into its input.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping

import jinja2
import sqlalchemy as sa

from patient_flow.contracts import events, measures
from patient_flow.contracts.views import VIEWS, View
from patient_flow.stores.warehouse.schema import (
    ACCESS_LOG,
    ACCESS_LOG_HEADS,
    AGGREGATE_COUNTS,
    AGGREGATE_DAY,
    AGGREGATE_MONTH,
    ALL_TABLES,
    sql_type,
)
from patient_flow.stores.warehouse.targets.base import Definition, Target
from patient_flow.stores.warehouse.views.measure_sql import MeasureSql

TABLES: Mapping[str, sa.TableClause] = {
    view.name: sa.table(view.name, *(sa.column(column.name, sql_type(column)) for column in view.columns))
    for view in VIEWS
}
"""View name → selectable with typed columns."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("patient_flow.stores.warehouse", "views"),
    autoescape=False,  # noqa: S701 - SQL, and nothing in it comes from outside
    undefined=jinja2.StrictUndefined,
)

_FRAGMENTS: Mapping[str, str] = {
    # The hours in which the staffed beds of each department version count (F19): from its department's first patient
    # hour on, or where it opened after its hospital's first one, on days on which its hospital has a patient hour.
    "department_hours": """\
(SELECT MIN(time_key) AS time_key FROM {{ FactBedCensus }}) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM {{ FactBedCensus }}) last_hour
JOIN {{ DimTime }} t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN {{ DimDepartment }} d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)
JOIN (
    SELECT
        o.hospital_id,
        o.department,
        MIN(own.time_key) AS first_key,
        MIN(CASE WHEN o.is_inferred {{ is_true }} THEN NULL ELSE o.valid_from END) AS listed_from,
        MIN(h.hour_start_at) AS hospital_from
    FROM {{ DimDepartment }} o
    LEFT JOIN (
        SELECT department_key, MIN(time_key) AS time_key FROM {{ FactBedCensus }} GROUP BY department_key
    ) own ON own.department_key = o.department_key
    LEFT JOIN (
        SELECT e.hospital_id, MIN(every_first.time_key) AS time_key
        FROM {{ DimDepartment }} e
        JOIN (
            SELECT department_key, MIN(time_key) AS time_key FROM {{ FactBedCensus }} GROUP BY department_key
        ) every_first ON every_first.department_key = e.department_key
        GROUP BY e.hospital_id
    ) hospital ON hospital.hospital_id = o.hospital_id
    LEFT JOIN {{ DimTime }} h ON h.time_key = hospital.time_key
    GROUP BY o.hospital_id, o.department
) begun
    ON begun.hospital_id = d.hospital_id
    AND begun.department = d.department
    AND (t.time_key >= begun.first_key OR begun.listed_from > begun.hospital_from)
    AND EXISTS (
        SELECT 1
        FROM {{ DimTime }} i
        JOIN {{ FactBedCensus }} j ON j.time_key = i.time_key
        JOIN {{ DimDepartment }} k ON k.department_key = j.department_key
        WHERE i.date = t.date AND k.hospital_id = d.hospital_id
    )""",
    # SQLite joins the tables of a CROSS JOIN in the written order: hours first, which it finds by their date.
    "hours_and_stays": """\
{{ DimTime }} t
CROSS JOIN {{ FactPatientFlow }} f
JOIN {{ DimDepartment }} d ON d.department_key = f.department_key""",
    # The few open stays first, then their first stay and department; the view joins t.
    "open_stays": """\
{{ FactPatientFlow }} f
CROSS JOIN {{ FactPatientFlow }} v
CROSS JOIN {{ DimTime }} t
CROSS JOIN {{ DimDepartment }} d""",
    "is_in_bed": """\
f.admission_at <= {{ now }}
AND (f.discharge_at IS NULL OR f.discharge_at > {{ now }})
AND (f.confirmed_until IS NULL OR f.confirmed_until >= {{ now }})""",
    "is_open": """\
f.admission_at <= {{ now }}
AND (f.discharge_at IS NULL OR f.discharge_at > {{ now }})
AND (f.confirmed_until IS NULL OR f.confirmed_until >= {{ now }})
AND v.arrival_time_key = f.arrival_time_key
AND v.visit_id = f.visit_id
AND d.department_key = f.department_key""",
    "is_in_department": """\
a.arrival_at <= {{ now }}
AND (a.departure_at IS NULL OR a.departure_at > {{ now }})
AND (a.confirmed_until IS NULL OR a.confirmed_until >= {{ now }})""",
    "hours_and_attendances": """\
{{ DimTime }} t
CROSS JOIN {{ FactEdAttendance }} a
JOIN {{ DimDepartment }} d ON d.department_key = a.department_key""",
    # The first hour of today's local date, t, and that of tomorrow's.
    "today": """\
(SELECT MAX(m.time_key) AS time_key FROM {{ DimTime }} m
    WHERE m.time_key <= {{ this_hour }} AND m.is_day_start {{ is_true }}) first_hour
JOIN {{ DimTime }} t ON t.time_key = first_hour.time_key
CROSS JOIN (SELECT MIN(m.time_key) AS time_key FROM {{ DimTime }} m
    WHERE m.time_key > {{ this_hour }} AND m.is_day_start {{ is_true }}) next_day
JOIN {{ DimTime }} tomorrow ON tomorrow.time_key = next_day.time_key""",
    "of_a_cell": "PARTITION BY date, hospital_id, department, gender",
    "genders": "(" + " UNION ALL ".join(f"SELECT '{gender}' AS gender" for gender in events.GENDERS) + ")",
    "is_midnight": "t.is_day_start {{ is_true }}",
}
"""Fragments that several views use."""


def definitions(target: Target) -> list[Definition]:
    """All views in the SQL of ``target``: those for readers, of the access log, and for aggregate readers."""
    log = target.quoted(ACCESS_LOG.name)
    heads = (
        f"SELECT l.chain, l.number, l.hash\nFROM {log} l\n"  # noqa: S608
        f"JOIN (SELECT chain, MAX(number) AS number FROM {log} GROUP BY chain) newest\n"
        "    ON newest.chain = l.chain AND newest.number = l.number"
    )
    return [
        *(definition(view, target) for view in VIEWS),
        Definition(
            ACCESS_LOG_HEADS.name,
            "Newest line of each chain of the access log.",
            heads,
            runs_as_owner=True,
            of_kept_tables=True,
        ),
        Definition(
            AGGREGATE_MONTH.name,
            "Closed months of AggregateDay: sums of the published days, and how many days each sum has.",
            _aggregate_month(target),
            of_kept_tables=True,
        ),
    ]


def view_names() -> set[str]:
    """The names of :func:`definitions`, without rendering them."""
    return {ACCESS_LOG_HEADS.name, AGGREGATE_MONTH.name, *(view.name for view in VIEWS)}


def _aggregate_month(target: Target) -> str:
    table = target.quoted(AGGREGATE_DAY.name)
    sums = ",\n".join(f"    SUM(a.{name}) AS {name},\n    COUNT(a.{name}) AS {name}_days" for name in AGGREGATE_COUNTS)
    return (
        f"SELECT\n    a.month,\n    a.hospital_id,\n    a.department,\n    a.gender,\n{sums}\n"
        f"FROM {table} a\n"
        f"JOIN {table} closed\n"
        "    ON closed.month = a.month AND closed.hospital_id = a.hospital_id\n"
        f"    AND closed.is_month_end = {target.sql.true} AND closed.department = '' AND closed.gender = ''\n"
        "GROUP BY a.month, a.hospital_id, a.department, a.gender"
    )


def definition(view: View, target: Target) -> Definition:
    """``view`` in the SQL of ``target``."""
    dialect = target.sql
    sql = MeasureSql(dialect.now, dialect.true)
    names: dict[str, object] = {
        **{table.name: target.quoted(table.name) for table in ALL_TABLES},
        "now": dialect.now,
        "this_hour": dialect.this_hour,
        "is_true": f"= {dialect.true}",
        "flag": _function(dialect.flag),
        "hours_since": _function(dialect.hours_since),
        "day_later": _function(dialect.days_later, "1"),
        "readmission_deadline": _function(dialect.days_later, str(measures.READMISSION_DAYS)),
        **{name: getattr(sql, name) for name in ("rows", "counts", "total", "percentile", "ratio")},
    }
    fragments = {name: fragment.render(names) for name, fragment in _fragments().items()}
    template = _TEMPLATES.get_template(re.sub(r"(?<!^)(?=[A-Z])", "_", view.name).lower() + ".sql.j2")
    return Definition(view.name, view.description, template.render({**names, **fragments}).strip())


@functools.cache
def _fragments() -> dict[str, jinja2.Template]:
    """Compiled once per process: compiling them for each view took a fifth of a second per database."""
    return {name: _TEMPLATES.from_string(text) for name, text in _FRAGMENTS.items()}


def _function(template: str, *more: str) -> Callable[[str], str]:
    """A function that formats a target's ``template`` with its argument and ``more``."""
    return lambda argument: template.format(argument, *more)
