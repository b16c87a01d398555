"""The model's measures in DAX: made from ``contracts.measures`` where parts add up, else in ``powerbi.hand_written``.

Rules that all keep. Now and open are asked when a visual asks (``UTCNOW``), also of an imported copy. Ratios are made
of sums, never of percentages, and never clipped. Beds are not split by gender: a gender's occupancy has its own
patients above and all the department's beds below, so genders add up; patients in departments without known beds count
in neither. Percentiles interpolate (``PERCENTILE.INC``).
"""

from __future__ import annotations

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import Measure as DeclaredMeasure
from patient_flow.contracts.rules import ALL
from patient_flow.powerbi import dax
from patient_flow.powerbi.control_charts import CHARTS
from patient_flow.powerbi.declarations import Measure
from patient_flow.powerbi.forecast import FORECAST
from patient_flow.powerbi.hand_written import HAND_WRITTEN, KNOWN_BEDS

COUNT, SHARE, NUMBER, MOMENT = "#,0", "0.0%", "#,0.0", "yyyy-mm-dd hh:nn"


def _declared(measure: DeclaredMeasure) -> Measure:
    written = HAND_WRITTEN.get(measure.name)
    return Measure(
        dax.name_of(measure),
        dax.home_of(measure),
        measure.topic,
        dax.format_of(measure),
        measure.meaning.en,
        dax.expression(measure) if written is None else written.strip(),
    )


def _home(table: str, folder: str, *declared: tuple[str, str, str, str]) -> tuple[Measure, ...]:
    """Measures of one display folder, each a (name, format, description, DAX)."""
    return tuple(
        Measure(name, table, folder, shape, description, dax.strip()) for name, shape, description, dax in declared
    )


_DAILY = _home(
    "KpiDepartmentDay",
    "Daily table",
    (
        "Admissions (daily table)",
        COUNT,
        "Admissions as the pipeline added them up by day: must equal Admissions.",
        "SUM(KpiDepartmentDay[admissions])",
    ),
    (
        "Occupied bed hours (daily table)",
        COUNT,
        "Occupied bed hours as the pipeline added them up by day: must equal Occupied bed hours.",
        "SUM(KpiDepartmentDay[occupied_bed_hours])",
    ),
    (
        "Staffed bed hours (daily table)",
        COUNT,
        "Staffed bed hours of the daily table, which repeats them for every gender: taken once per department and day.",
        """
SUMX(
    SUMMARIZE(KpiDepartmentDay, KpiDepartmentDay[date], KpiDepartmentDay[department_key]),
    CALCULATE(MAX(KpiDepartmentDay[staffed_bed_hours]))
)""",
    ),
    (
        "Bed occupancy % (daily table)",
        SHARE,
        "Bed occupancy from the daily table: must equal Bed occupancy %. Quicker under DirectQuery; not by hour.",
        f"DIVIDE(CALCULATE([Occupied bed hours (daily table)], {KNOWN_BEDS}) + 0, [Staffed bed hours (daily table)])",
    ),
)

_FREE = _home(
    "FactPatientFlow",
    "Now",
    (
        "Free beds now",
        COUNT,
        "Staffed beds less patients of all genders, in departments with known beds; negative where over-full.",
        f"""
VAR Staffed = [Staffed beds now]
RETURN
    IF(
        NOT ISBLANK(Staffed),
        Staffed - CALCULATE([Patients in beds now], {KNOWN_BEDS}, REMOVEFILTERS(DimGender))
    )""",
    ),
)

_EVENTS_ONLY = f'DataQualityDay[rule] = "{ALL}"'
_RULES_ONLY = f'KEEPFILTERS(DataQualityDay[rule] <> "{ALL}")'

_QUALITY = _home(
    "DataQualityDay",
    "Data quality",
    (
        "Events received",
        COUNT,
        "Events of the hub that were accepted or quarantined.",
        "[Events accepted] + [Events quarantined]",
    ),
    (
        "Events accepted",
        COUNT,
        "Accepted events, whatever rules they break.",
        f"CALCULATE(SUM(DataQualityDay[accepted]), {_EVENTS_ONLY})",
    ),
    (
        "Events quarantined",
        COUNT,
        "Quarantined events, each counted once however many rules it breaks.",
        f"CALCULATE(SUM(DataQualityDay[quarantined]), {_EVENTS_ONLY})",
    ),
    (
        "Events quarantined %",
        "0.00%",
        "Events quarantined / events received.",
        "DIVIDE([Events quarantined], [Events received])",
    ),
    (
        "Violations flagged",
        COUNT,
        "Accepted events that break a rule, by rule; an event counts once for each rule.",
        f"CALCULATE(SUM(DataQualityDay[flagged]), {_RULES_ONLY})",
    ),
    (
        "Violations quarantined",
        COUNT,
        "Quarantined events that break a rule, by rule; an event counts once for each rule.",
        f"CALCULATE(SUM(DataQualityDay[quarantined]), {_RULES_ONLY})",
    ),
)

_FRESHNESS = _home(
    "DataFreshness",
    "Freshness",
    (
        "Newest event at",
        MOMENT,
        "When the hub accepted the newest event that the warehouse holds (UTC).",
        "MAX(DataFreshness[newest_event_at])",
    ),
    (
        "Figures changed at",
        MOMENT,
        "When figures were first loaded by other rules (UTC): do not compare across it. The changelog says which.",
        "MAX(DataFreshness[figures_changed_at])",
    ),
    (
        "Data age minutes",
        NUMBER,
        "From the newest event to the moment when the visual asks; an imported copy ages until its next refresh.",
        """
VAR Newest = [Newest event at]
RETURN
    IF(NOT ISBLANK(Newest), (UTCNOW() - Newest) * 1440)""",
    ),
    (
        "Load lag seconds",
        NUMBER,
        "Longest time of the last loads from the newest event to its arrival in the warehouse.",
        "MAX(DataFreshness[lag_seconds])",
    ),
    (
        "Rows written",
        COUNT,
        "Rows that the last loads deleted and inserted.",
        "SUM(DataFreshness[rows_written])",
    ),
)

MEASURES: tuple[Measure, ...] = (
    *map(_declared, measures.MEASURES),
    *_DAILY,
    *_QUALITY,
    *_FRESHNESS,
    *_FREE,
    *FORECAST,
    *CHARTS,
)
"""Every measure of the contract, then what only the model has."""

BY_NAME = {measure.name: measure for measure in MEASURES}
