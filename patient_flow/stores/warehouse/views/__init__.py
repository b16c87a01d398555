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

import re
from collections.abc import Callable, Mapping

import jinja2
import sqlalchemy as sa

from patient_flow.contracts import events, measures
from patient_flow.contracts.views import VIEWS, View
from patient_flow.stores.warehouse.schema import ALL_TABLES, sql_type
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
    # Every hour of the census times the department versions valid in it: also hours without patients.
    "department_hours": """\
(SELECT MIN(time_key) AS time_key FROM {{ FactBedCensus }}) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM {{ FactBedCensus }}) last_hour
JOIN {{ DimTime }} t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN {{ DimDepartment }} d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)""",
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
    "is_open": """\
f.admission_at <= {{ now }}
AND (f.discharge_at IS NULL OR f.discharge_at > {{ now }})
AND v.visit_id = f.visit_id AND v.stay_number = 1
AND d.department_key = f.department_key""",
    "of_a_cell": "PARTITION BY date, hospital_id, department, gender",
    "genders": "(" + " UNION ALL ".join(f"SELECT '{gender}' AS gender" for gender in events.GENDERS) + ")",
    "is_midnight": "t.is_day_start {{ is_true }}",
}
"""Fragments that several views use."""


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
        "readmission_deadline": _function(dialect.days_later, str(measures.READMISSION_DAYS)),
        **{name: getattr(sql, name) for name in ("rows", "counts", "total", "percentile", "ratio")},
    }
    fragments = {name: _TEMPLATES.from_string(text).render(names) for name, text in _FRAGMENTS.items()}
    template = _TEMPLATES.get_template(re.sub(r"(?<!^)(?=[A-Z])", "_", view.name).lower() + ".sql.j2")
    return Definition(view.name, view.description, template.render({**names, **fragments}).strip())


def _function(template: str, *more: str) -> Callable[[str], str]:
    """A function that formats a target's ``template`` with its argument and ``more``."""
    return lambda argument: template.format(argument, *more)
