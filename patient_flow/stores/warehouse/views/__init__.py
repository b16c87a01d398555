"""The views of ``contracts.views``: one template each beside this module, rendered in the SQL of a target.

Templates get the tables by name (``{{ FactPatientFlow }}``), what targets say differently (``now``, ``this_hour``,
``is_true``, ``hours_since(instant)``, ``flag(condition)``, ``readmission_deadline(instant)``), the phrases of
``_PHRASES``, and the measures: ``rows``, ``counts``, ``total``, ``percentile``, ``ratio`` (see ``measure_sql``).

Rules that all views keep. Now and open are asked when the view is read. A ratio stands next to the sums it is made of,
so that a report can add up the sums and divide; percentages are never averaged and never clipped. Percentiles and
distinct counts hold for their row only. Dates and hours are local, through DimTime; instants are UTC. A day belongs to
a department of a hospital, whatever version of it was valid.

The SQL is shaped so that a filter on the date reaches the tables on every engine: SQLite carries one through windows
over the columns they are partitioned by and into one aggregate, never through an aggregate into its input.
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

_PHRASES: Mapping[str, str] = {
    # Every hour of the census times the department versions valid in it: also hours without patients.
    "department_hours": """\
(SELECT MIN(time_key) AS time_key FROM {{ FactBedCensus }}) first_hour
CROSS JOIN (SELECT MAX(time_key) AS time_key FROM {{ FactBedCensus }}) last_hour
JOIN {{ DimTime }} t ON t.time_key BETWEEN first_hour.time_key AND last_hour.time_key
JOIN {{ DimDepartment }} d
    ON t.hour_start_at >= d.valid_from AND (d.valid_to IS NULL OR t.hour_start_at < d.valid_to)""",
    # SQLite takes the tables of a CROSS JOIN as they are written: hours first, which it finds by their date.
    "hours_and_stays": """\
{{ DimTime }} t
CROSS JOIN {{ FactPatientFlow }} f
JOIN {{ DimDepartment }} d ON d.department_key = f.department_key""",
    # The few stays that are open first, then what belongs to them; t is left to the view.
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
    idioms = target.sql
    sql = MeasureSql(idioms.now, idioms.true)
    names: dict[str, object] = {
        **{table.name: target.quoted(table.name) for table in ALL_TABLES},
        "now": idioms.now,
        "this_hour": idioms.this_hour,
        "is_true": f"= {idioms.true}",
        "flag": _function(idioms.flag),
        "hours_since": _function(idioms.hours_since),
        "readmission_deadline": _function(idioms.days_later, str(measures.READMISSION_DAYS)),
        **{name: getattr(sql, name) for name in ("rows", "counts", "total", "percentile", "ratio")},
    }
    phrases = {name: _TEMPLATES.from_string(phrase).render(names) for name, phrase in _PHRASES.items()}
    template = _TEMPLATES.get_template(re.sub(r"(?<!^)(?=[A-Z])", "_", view.name).lower() + ".sql.j2")
    return Definition(view.name, view.description, template.render({**names, **phrases}).strip())


def _function(template: str, *more: str) -> Callable[[str], str]:
    """A function that puts its argument, and ``more`` after it, into a target's ``template``."""
    return lambda argument: template.format(argument, *more)
