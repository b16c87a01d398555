"""The contract's measures in DAX, each declared once.

Rules that all keep. Now and open are asked when a visual asks (``UTCNOW``), also of an imported copy. Ratios are made
of sums, never of percentages, and never clipped. Beds are not split by gender: a gender's occupancy has its own
patients above and all the department's beds below, so genders add up; patients in departments without known beds count
in neither. Percentiles interpolate (``PERCENTILE.INC``).
DAX takes an empty value for zero, so a comparison that an empty value must not pass says so.
"""

from __future__ import annotations

from patient_flow.contracts.measures import READMISSION_DAYS, WAIT_STANDARD_MINUTES
from patient_flow.contracts.rules import ALL
from patient_flow.powerbi.declarations import Measure

COUNT, SHARE, NUMBER, MOMENT = "#,0", "0.0%", "#,0.0", "yyyy-mm-dd hh:nn"

_BY_DISCHARGE = "USERELATIONSHIP(FactPatientFlow[discharge_time_key], DimTime[time_key])"
_BY_ARRIVAL = "USERELATIONSHIP(FactPatientFlow[arrival_time_key], DimTime[time_key])"
_FIRST_STAYS = "FactPatientFlow[is_visit_start] = TRUE()"
_VISITS_THAT_ENDED = f"""\
FactPatientFlow[is_visit_end] = TRUE(),
FactPatientFlow[discharge_at] <= Instant,
{_BY_DISCHARGE}"""
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
"""The hours of the census and the departments with known beds: also hours in which nobody lay in a bed."""

_KNOWN_BEDS = "KEEPFILTERS(NOT ISBLANK(DimDepartment[staffed_beds]))"

_VALID_THEN = """\
DimTime[hour_start_at] >= DimDepartment[valid_from]
    && (ISBLANK(DimDepartment[valid_to]) || DimTime[hour_start_at] < DimDepartment[valid_to])"""


def _deeper(dax: str, levels: int) -> str:
    """``dax`` with its second and later lines moved to the right."""
    return dax.replace("\n", "\n" + "    " * levels)


_DISCHARGED_ALIVE = f"""\
CALCULATETABLE(
    FactPatientFlow,
    {_deeper(_VISITS_THAT_ENDED, 1)},
    FactPatientFlow[patient_key] <> 0,
    FactPatientFlow[discharge_status] <> "deceased"
)"""


def _home(table: str, folder: str, *declared: tuple[str, str, str, str]) -> tuple[Measure, ...]:
    """Measures of one display folder, each a (name, format, description, DAX)."""
    return tuple(
        Measure(name, table, folder, shape, description, dax.strip()) for name, shape, description, dax in declared
    )


_OCCUPANCY = _home(
    "FactBedCensus",
    "Occupancy",
    (
        "Bed occupancy %",
        SHARE,
        "Occupied / staffed bed hours of departments with known beds. By gender the beds stay the department's, so "
        "genders add up.",
        # + 0: a staffed department without patients is 0 % full, not unknown.
        f"DIVIDE(CALCULATE([Occupied bed hours], {_KNOWN_BEDS}) + 0, [Staffed bed hours])",
    ),
    (
        "Midnight bed occupancy %",
        SHARE,
        "Bed occupancy at local midnight.",
        "CALCULATE([Bed occupancy %], KEEPFILTERS(DimTime[is_day_start] = TRUE()))",
    ),
    (
        "Occupied bed hours",
        COUNT,
        "Sum of the hourly census.",
        "SUM(FactBedCensus[occupied_beds])",
    ),
    (
        "Staffed bed hours",
        COUNT,
        "Sum of staffed beds over the hours of the census, whether anybody lay in them or not; as valid at each hour.",
        f"""
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
    ),
    (
        "Staffed hours",
        COUNT,
        "Hours of the census in which at least one department had known staffed beds.",
        f"""
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
    ),
    (
        "Average staffed beds",
        NUMBER,
        "Staffed bed hours / staffed hours.",
        "DIVIDE([Staffed bed hours], [Staffed hours])",
    ),
    (
        "Bed turnover",
        "#,0.00",
        "Discharges per staffed bed in the period.",
        "DIVIDE([Discharges] + 0, [Average staffed beds])",
    ),
)

_NOW = _home(
    "FactPatientFlow",
    "Now",
    (
        "Patients in beds now",
        COUNT,
        "Stays that have begun and not ended when the visual asks, whatever period is chosen.",
        f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactPatientFlow),
        {_deeper(_OPEN_STAYS, 2)}
    )""",
    ),
    (
        "Staffed beds now",
        COUNT,
        "Staffed beds of the department versions that are valid when the visual asks.",
        """
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        SUM(DimDepartment[staffed_beds]),
        DimDepartment[valid_from] <= Instant,
        ISBLANK(DimDepartment[valid_to]) || DimDepartment[valid_to] > Instant
    )""",
    ),
    (
        "Bed occupancy now %",
        SHARE,
        "Patients in beds now / staffed beds now, of departments with known beds.",
        f"DIVIDE(CALCULATE([Patients in beds now], {_KNOWN_BEDS}) + 0, [Staffed beds now])",
    ),
    (
        "Mean current stay hours",
        NUMBER,
        "Hours since the first admission of the visits that are open when the visual asks.",
        f"""
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
    ),
)

_MOVEMENTS = _home(
    "FactPatientFlow",
    "Movements",
    (
        "Admissions",
        COUNT,
        "Stays that start a visit, by the hour of admission.",
        f"CALCULATE(COUNTROWS(FactPatientFlow), {_FIRST_STAYS})",
    ),
    (
        "Arrivals",
        COUNT,
        "Admitted visits with a known arrival, by the hour of arrival.",
        f"""
CALCULATE(
    COUNTROWS(FactPatientFlow),
    {_FIRST_STAYS},
    FactPatientFlow[arrival_time_key] <> 0,
    {_BY_ARRIVAL}
)""",
    ),
    (
        "Discharges",
        COUNT,
        "Stays that ended a visit, by the hour of discharge; a planned discharge counts when its time has come.",
        f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactPatientFlow),
        {_deeper(_VISITS_THAT_ENDED, 2)}
    )""",
    ),
    (
        "Transfers",
        COUNT,
        "Stays that a move from another department began, by the hour of the move; DimOrigin says from where.",
        "CALCULATE(COUNTROWS(FactPatientFlow), FactPatientFlow[from_department_key] <> 0)",
    ),
    (
        "Visits",
        COUNT,
        "Distinct visits with a stay that began in the period.",
        "DISTINCTCOUNT(FactPatientFlow[visit_id])",
    ),
    (
        "Patients",
        COUNT,
        "Distinct known patients with a stay that began in the period.",
        """
COUNTROWS(
    SUMMARIZE(
        FILTER(FactPatientFlow, FactPatientFlow[patient_key] <> 0),
        DimPatient[patient_id]
    )
)""",
    ),
)

_WAITING = _home(
    "FactPatientFlow",
    "Waiting",
    (
        "Waits",
        COUNT,
        "Visits with a known wait from arrival to admission, by the hour of admission.",
        f"CALCULATE(COUNT(FactPatientFlow[wait_minutes]), {_FIRST_STAYS})",
    ),
    (
        "Mean wait minutes",
        NUMBER,
        "Mean wait from arrival to admission of the visit's first stay.",
        f"CALCULATE(AVERAGE(FactPatientFlow[wait_minutes]), {_FIRST_STAYS})",
    ),
    (
        "Median wait minutes",
        NUMBER,
        "Half of the waits are at most so long.",
        f"CALCULATE(PERCENTILE.INC(FactPatientFlow[wait_minutes], 0.5), {_FIRST_STAYS})",
    ),
    (
        "90th percentile wait minutes",
        NUMBER,
        "Nine of ten waits are at most so long.",
        f"CALCULATE(PERCENTILE.INC(FactPatientFlow[wait_minutes], 0.9), {_FIRST_STAYS})",
    ),
    (
        f"Waits within {WAIT_STANDARD_MINUTES} minutes %",
        SHARE,
        f"Waits of at most {WAIT_STANDARD_MINUTES} minutes / waits; exactly {WAIT_STANDARD_MINUTES} passes.",
        f"""
VAR InTime =
    CALCULATE(
        COUNT(FactPatientFlow[wait_minutes]),
        {_FIRST_STAYS},
        FactPatientFlow[wait_minutes] <= {WAIT_STANDARD_MINUTES}
    )
RETURN
    DIVIDE(InTime + 0, [Waits])""",
    ),
)

_LENGTH_OF_STAY = _home(
    "FactPatientFlow",
    "Length of stay",
    *(
        (
            f"{word} length of stay hours",
            NUMBER,
            f"{word} length of visits that have ended, from first admission to discharge, by the hour of discharge.",
            f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        {function}(FactPatientFlow[visit_length_of_stay_hours]),
        {_deeper(_VISITS_THAT_ENDED, 2)}
    )""",
        )
        for word, function in (("Mean", "AVERAGE"), ("Median", "MEDIAN"))
    ),
    (
        "Overstays",
        COUNT,
        "Stays longer than their department expects: ended in the period or, if it includes now, still open.",
        """
VAR Instant = UTCNOW()
VAR ThisHour =
    YEAR(Instant) * 1000000 + MONTH(Instant) * 10000 + DAY(Instant) * 100 + HOUR(Instant)
VAR IncludesNow = NOT ISEMPTY(FILTER(DimTime, DimTime[time_key] = ThisHour))
RETURN
    [Overstays ended] + IF(IncludesNow, [Overstays open])""",
    ),
    (
        "Overstays ended",
        COUNT,
        "Stays that ended, by the hour of their end, and had lasted longer than their department expects.",
        f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(
            FILTER(
                FactPatientFlow,
                NOT ISBLANK({_EXPECTED})
                    && FactPatientFlow[length_of_stay_hours] > {_EXPECTED}
            )
        ),
        FactPatientFlow[discharge_at] <= Instant,
        NOT ISBLANK(FactPatientFlow[discharge_at]),
        {_BY_DISCHARGE}
    )""",
    ),
    (
        "Overstays open",
        COUNT,
        "Patients in beds now whose stay has lasted longer than their department expects, whatever period is chosen.",
        f"""
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
    ),
)

_READMISSIONS = _home(
    "FactPatientFlow",
    "Readmissions",
    (
        f"Readmission within {READMISSION_DAYS} days %",
        SHARE,
        f"Readmissions within {READMISSION_DAYS} days / followed discharges.",
        f"DIVIDE([Readmissions within {READMISSION_DAYS} days] + 0, [Followed discharges])",
    ),
    (
        f"Readmissions within {READMISSION_DAYS} days",
        COUNT,
        f"Followed discharges after which the patient was admitted again within 0 to {READMISSION_DAYS} days, "
        "to any hospital.",
        # Two tables joined by patient: asking for the next admission discharge by discharge costs a scan for each.
        # & "" and + 0 make plain values of the columns, so that the join matches Patient and nothing else.
        f"""
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
    ),
    (
        "Followed discharges",
        COUNT,
        f"Discharges alive whose {READMISSION_DAYS} days have passed, by the hour of discharge.",
        f"""
VAR Instant = UTCNOW()
VAR Discharged =
    {_deeper(_DISCHARGED_ALIVE, 1)}
RETURN
    COUNTROWS(FILTER(Discharged, FactPatientFlow[discharge_at] + {READMISSION_DAYS} <= Instant))""",
    ),
    (
        "Discharges still followed",
        COUNT,
        f"Discharges alive whose {READMISSION_DAYS} days have not passed: not yet in the readmission rate.",
        f"""
VAR Instant = UTCNOW()
VAR Discharged =
    {_deeper(_DISCHARGED_ALIVE, 1)}
RETURN
    COUNTROWS(FILTER(Discharged, FactPatientFlow[discharge_at] + {READMISSION_DAYS} > Instant))""",
    ),
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

MEASURES: tuple[Measure, ...] = (
    *_OCCUPANCY,
    *_NOW,
    *_MOVEMENTS,
    *_WAITING,
    *_LENGTH_OF_STAY,
    *_READMISSIONS,
    *_DAILY,
    *_QUALITY,
    *_FRESHNESS,
)
"""Every measure, in the order of the contract."""

BY_NAME = {measure.name: measure for measure in MEASURES}
