"""The model's measures in DAX: made from ``contracts.measures`` where parts add up, hand-written here where not.

Rules that all keep. Now and open are asked when a visual asks (``UTCNOW``), also of an imported copy. Ratios are made
of sums, never of percentages, and never clipped. Beds are not split by gender: a gender's occupancy has its own
patients above and all the department's beds below, so genders add up; patients in departments without known beds count
in neither. Percentiles interpolate (``PERCENTILE.INC``).
"""

from __future__ import annotations

from collections.abc import Mapping

from patient_flow.contracts import measures
from patient_flow.contracts.measure_types import Measure as DeclaredMeasure
from patient_flow.contracts.measures import READMISSION_DAYS
from patient_flow.contracts.rules import ALL
from patient_flow.powerbi import dax
from patient_flow.powerbi.declarations import Measure

COUNT, SHARE, NUMBER, MOMENT = "#,0", "0.0%", "#,0.0", "yyyy-mm-dd hh:nn"

_FIRST_STAYS = ", ".join(dax.filters(measures.ADMISSIONS))
_VISITS_THAT_ENDED = ",\n".join(dax.filters(measures.DISCHARGES))
_OPEN_STAYS = """\
FactPatientFlow[admission_at] <= Instant,
ISBLANK(FactPatientFlow[discharge_at]) || FactPatientFlow[discharge_at] > Instant,
REMOVEFILTERS(DimTime),
REMOVEFILTERS(DimDate)"""
_EXPECTED = "RELATED(DimDepartment[expected_los_hours])"

_STAFFED_HOURS = """\
VAR FirstHour = CALCULATE(MIN(FactBedCensus[time_key]), REMOVEFILTERS())
VAR LastHour = CALCULATE(MAX(FactBedCensus[time_key]), REMOVEFILTERS())
VAR CensusHours = FILTER(DimTime, DimTime[time_key] >= FirstHour && DimTime[time_key] <= LastHour)
VAR Staffed = FILTER(DimDepartment, NOT ISBLANK(DimDepartment[staffed_beds]))"""
"""The hours of the census and the departments with known beds: also hours without patients."""

_KNOWN_BEDS = "KEEPFILTERS(NOT ISBLANK(DimDepartment[staffed_beds]))"

_VALID_THEN = """\
DimTime[hour_start_at] >= DimDepartment[valid_from]
    && (ISBLANK(DimDepartment[valid_to]) || DimTime[hour_start_at] < DimDepartment[valid_to])"""


def _deeper(text: str, levels: int) -> str:
    """``text`` with its second and later lines moved to the right."""
    return text.replace("\n", "\n" + "    " * levels)


_DISCHARGED_ALIVE = f"""\
CALCULATETABLE(
    FactPatientFlow,
    {_deeper(_VISITS_THAT_ENDED, 1)},
    FactPatientFlow[patient_key] <> 0,
    FactPatientFlow[discharge_status] <> "deceased"
)"""


HAND_WRITTEN: Mapping[str, str] = {
    "staffed_bed_hours": f"""
{_STAFFED_HOURS}
RETURN
    SUMX(
        Staffed,
        DimDepartment[staffed_beds]
            * COUNTROWS(
                FILTER(
                    CensusHours,
                    {_deeper(_VALID_THEN, 5)}
                )
            )
    )""",
    "staffed_hours": f"""
{_STAFFED_HOURS}
RETURN
    COUNTROWS(
        FILTER(
            CensusHours,
            NOT ISEMPTY(
                FILTER(
                    Staffed,
                    {_deeper(_VALID_THEN, 5)}
                )
            )
        )
    )""",
    "midnight_occupancy_pct": "CALCULATE([Bed occupancy %], KEEPFILTERS(DimTime[is_day_start] = TRUE()))",
    "in_beds": f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactPatientFlow),
        {_deeper(_OPEN_STAYS, 2)}
    )""",
    "staffed_beds": """
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        SUM(DimDepartment[staffed_beds]),
        DimDepartment[valid_from] <= Instant,
        ISBLANK(DimDepartment[valid_to]) || DimDepartment[valid_to] > Instant
    )""",
    "occupancy_now_pct": f"DIVIDE(CALCULATE([Patients in beds now], {_KNOWN_BEDS}) + 0, [Staffed beds now])",
    "current_stay_hours_mean": f"""
VAR Instant = UTCNOW()
VAR OpenStays =
    CALCULATETABLE(
        FactPatientFlow,
        {_deeper(_OPEN_STAYS, 2)}
    )
RETURN
    AVERAGEX(
        OpenStays,
        VAR Visit = FactPatientFlow[visit_id]
        VAR Begun =
            CALCULATE(MIN(FactPatientFlow[admission_at]), REMOVEFILTERS(), FactPatientFlow[visit_id] = Visit)
        RETURN (Instant - Begun) * 24
    )""",
    "visits": "DISTINCTCOUNT(FactPatientFlow[visit_id])",
    "patients": """
COUNTROWS(
    SUMMARIZE(
        FILTER(FactPatientFlow, FactPatientFlow[patient_key] <> 0),
        DimPatient[patient_id]
    )
)""",
    "all_overstays": """
VAR Instant = UTCNOW()
VAR ThisHour =
    YEAR(Instant) * 1000000 + MONTH(Instant) * 10000 + DAY(Instant) * 100 + HOUR(Instant)
VAR IncludesNow = NOT ISEMPTY(FILTER(DimTime, DimTime[time_key] = ThisHour))
RETURN
    [Overstays ended] + IF(IncludesNow, [Overstays open])""",
    "open_overstays": f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(
            FILTER(
                FactPatientFlow,
                NOT ISBLANK({_EXPECTED})
                    && (Instant - FactPatientFlow[admission_at]) * 24 > {_EXPECTED}
            )
        ),
        {_deeper(_OPEN_STAYS, 2)}
    )""",
    # Two tables joined by patient: asking for the next admission discharge by discharge costs a scan for each.
    # & "" and + 0 make plain values of the columns, so that the join matches Patient and nothing else.
    "readmissions": f"""
VAR Instant = UTCNOW()
VAR Discharged =
    {_deeper(_DISCHARGED_ALIVE, 1)}
VAR Followed = FILTER(Discharged, FactPatientFlow[discharge_at] + {READMISSION_DAYS} <= Instant)
VAR Departures =
    SELECTCOLUMNS(
        Followed,
        "Patient", RELATED(DimPatient[patient_id]) & "",
        "LeftStay", FactPatientFlow[stay_key] + 0,
        "LeftVisit", FactPatientFlow[visit_id] & "",
        "LeftAt", FactPatientFlow[discharge_at] + 0
    )
VAR Admitted = CALCULATETABLE(FactPatientFlow, REMOVEFILTERS(), {_FIRST_STAYS})
VAR Returns =
    SELECTCOLUMNS(
        Admitted,
        "Patient", RELATED(DimPatient[patient_id]) & "",
        "BackVisit", FactPatientFlow[visit_id] & "",
        "BackAt", FactPatientFlow[admission_at] + 0
    )
VAR Readmitted =
    FILTER(
        NATURALINNERJOIN(Departures, Returns),
        [BackVisit] <> [LeftVisit]
            && [BackAt] >= [LeftAt]
            && [BackAt] <= [LeftAt] + {READMISSION_DAYS}
    )
RETURN
    COUNTROWS(DISTINCT(SELECTCOLUMNS(Readmitted, "Stay", [LeftStay])))""",
    "followed_discharges": f"""
VAR Instant = UTCNOW()
VAR Discharged =
    {_deeper(_DISCHARGED_ALIVE, 1)}
RETURN
    COUNTROWS(FILTER(Discharged, FactPatientFlow[discharge_at] + {READMISSION_DAYS} <= Instant))""",
    "discharges_pending": f"""
VAR Instant = UTCNOW()
VAR Discharged =
    {_deeper(_DISCHARGED_ALIVE, 1)}
RETURN
    COUNTROWS(FILTER(Discharged, FactPatientFlow[discharge_at] + {READMISSION_DAYS} > Instant))""",
}
"""Measure of the contract whose parts do not add up → its DAX."""


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
        f"DIVIDE(CALCULATE([Occupied bed hours (daily table)], {_KNOWN_BEDS}) + 0, [Staffed bed hours (daily table)])",
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

MEASURES: tuple[Measure, ...] = (*map(_declared, measures.MEASURES), *_DAILY, *_QUALITY, *_FRESHNESS)
"""Every measure of the contract, then what only the model has."""

BY_NAME = {measure.name: measure for measure in MEASURES}
