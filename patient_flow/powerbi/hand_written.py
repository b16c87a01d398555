"""The DAX of measures whose parts do not add up. What all keep: see ``powerbi.measures``."""

from __future__ import annotations

from collections.abc import Mapping

from patient_flow.contracts import measures
from patient_flow.contracts.measures import READMISSION_DAYS
from patient_flow.powerbi import dax

_FIRST_STAYS = ", ".join(dax.filters(measures.ADMISSIONS))
_FIRST_STAYS_LINES = ",\n".join(dax.filters(measures.ADMISSIONS))
_VISITS_THAT_ENDED = ",\n".join(dax.filters(measures.DISCHARGES))
_VISITS_THAT_ENDED_ANYWHERE = ",\n".join(dax.conditions(measures.DISCHARGES))
_OPEN_STAYS = """\
FactPatientFlow[admission_at] <= Instant,
ISBLANK(FactPatientFlow[discharge_at]) || FactPatientFlow[discharge_at] > Instant,
ISBLANK(FactPatientFlow[confirmed_until]) || FactPatientFlow[confirmed_until] >= Instant,
REMOVEFILTERS(DimTime),
REMOVEFILTERS(DimDate)"""
_OPEN_ATTENDANCES = """\
FactEdAttendance[arrival_at] <= Instant,
ISBLANK(FactEdAttendance[departure_at]) || FactEdAttendance[departure_at] > Instant,
ISBLANK(FactEdAttendance[confirmed_until]) || FactEdAttendance[confirmed_until] >= Instant,
REMOVEFILTERS(DimTime),
REMOVEFILTERS(DimDate)"""
_HAS_DECISION = "NOT ISBLANK(FactEdAttendance[decision_at]) && FactEdAttendance[decision_at] <= Instant"
_TODAY = """\
VAR Instant = UTCNOW()
VAR ThisHour =
    YEAR(Instant) * 1000000 + MONTH(Instant) * 10000 + DAY(Instant) * 100 + HOUR(Instant)
VAR Today = CALCULATE(MAX(DimTime[date]), REMOVEFILTERS(), DimTime[time_key] = ThisHour)"""
_DUE = """\
IF(
    ISBLANK(FactPatientFlow[ready_at]),
    FactPatientFlow[planned_discharge_at],
    FactPatientFlow[ready_at]
)"""
_EXPECTED = "RELATED(DimDepartment[expected_los_hours])"

_STAFFED_HOURS = """\
VAR FirstHour = CALCULATE(MIN(FactBedCensus[time_key]), REMOVEFILTERS())
VAR LastHour = CALCULATE(MAX(FactBedCensus[time_key]), REMOVEFILTERS())
VAR CensusHours = FILTER(DimTime, DimTime[time_key] >= FirstHour && DimTime[time_key] <= LastHour)
VAR Staffed = FILTER(DimDepartment, NOT ISBLANK(DimDepartment[staffed_beds]))"""
"""The hours of the census and the departments with known beds."""

_STAFFED_THEN = """\
VAR Hospital = DimDepartment[hospital_id]
VAR Ward = DimDepartment[department]
VAR Opened = DimDepartment[valid_from]
VAR Closed = DimDepartment[valid_to]
VAR FirstKey =
    CALCULATE(
        MIN(FactBedCensus[time_key]),
        REMOVEFILTERS(),
        DimDepartment[hospital_id] = Hospital,
        DimDepartment[department] = Ward
    )
VAR HospitalKey =
    CALCULATE(MIN(FactBedCensus[time_key]), REMOVEFILTERS(), DimDepartment[hospital_id] = Hospital)
VAR HospitalFrom = CALCULATE(MIN(DimTime[hour_start_at]), REMOVEFILTERS(), DimTime[time_key] = HospitalKey)
VAR ListedFrom =
    CALCULATE(
        MIN(DimDepartment[valid_from]),
        REMOVEFILTERS(),
        DimDepartment[hospital_id] = Hospital,
        DimDepartment[department] = Ward,
        DimDepartment[is_inferred] <> TRUE()
    )
VAR PatientDays =
    DISTINCT(
        SELECTCOLUMNS(
            CALCULATETABLE(FactBedCensus, REMOVEFILTERS(), DimDepartment[hospital_id] = Hospital),
            "Day", RELATED(DimTime[date])
        )
    )
VAR StaffedHours =
    FILTER(
        CensusHours,
        DimTime[hour_start_at] >= Opened
            && (ISBLANK(Closed) || DimTime[hour_start_at] < Closed)
            && ((NOT ISBLANK(FirstKey) && DimTime[time_key] >= FirstKey) || ListedFrom > HospitalFrom)
            && DimTime[date] IN PatientDays
    )"""
"""The hours in which the staffed beds of a row of DimDepartment count (F19): from its department's first patient hour,
or where it opened after its hospital's first one, on days on which its hospital has a patient hour."""

KNOWN_BEDS = "KEEPFILTERS(NOT ISBLANK(DimDepartment[staffed_beds]))"


def _deeper(text: str, levels: int) -> str:
    """``text`` with its second and later lines moved to the right."""
    return text.replace("\n", "\n" + "    " * levels)


_DISCHARGED_ALIVE = f"""\
CALCULATETABLE(
    FactPatientFlow,
    {_deeper(_VISITS_THAT_ENDED, 1)},
    FactPatientFlow[patient_key] <> 0,
    FactPatientFlow[discharge_status] <> "deceased",
    FactPatientFlow[discharge_status] <> "transferred"
)"""

_DELAYED = f"""\
CALCULATETABLE(
    FILTER(
        FactPatientFlow,
        VAR Due =
            {_deeper(_DUE, 3)}
        RETURN NOT ISBLANK(Due) && Due <= Instant
    ),
    {_deeper(_OPEN_STAYS, 1)}
)"""


def _long_stays(nights: int) -> str:
    """Open ward stays whose visit has ``nights`` or more: local dates between beginning and end of its ward stays."""
    return f"""
{_TODAY}
VAR OpenStays =
    CALCULATETABLE(
        FactPatientFlow,
        FactPatientFlow[stay_kind] = "ward",
        {_deeper(_OPEN_STAYS, 2)}
    )
RETURN
    COUNTROWS(
        FILTER(
            OpenStays,
            VAR Visit = FactPatientFlow[visit_id]
            VAR Nights =
                CALCULATE(
                    SUMX(
                        FactPatientFlow,
                        VAR Begun =
                            LOOKUPVALUE(DimTime[date], DimTime[time_key], FactPatientFlow[admission_time_key])
                        VAR Left =
                            IF(
                                ISBLANK(FactPatientFlow[discharge_at]) || FactPatientFlow[discharge_at] > Instant,
                                Today,
                                LOOKUPVALUE(DimTime[date], DimTime[time_key], FactPatientFlow[discharge_time_key])
                            )
                        RETURN DATEDIFF(Begun, Left, DAY)
                    ),
                    REMOVEFILTERS(),
                    FactPatientFlow[visit_id] = Visit,
                    FactPatientFlow[stay_kind] = "ward",
                    FactPatientFlow[admission_at] <= Instant
                )
            RETURN Nights >= {nights}
        )
    )"""


def _occupancy_of(*classes: str, blank: bool = False) -> str:
    """Bed occupancy of departments of these classes, and of those without one if ``blank``."""
    wanted = [f'DimDepartment[class] = "{name}"' for name in classes]
    wanted += ["ISBLANK(DimDepartment[class])"] if blank else []
    return f"CALCULATE([Bed occupancy %], KEEPFILTERS({' || '.join(wanted)}))"


def _readmissions(admitted: str = "") -> str:
    """Followed discharges with a return in time; ``admitted`` are further conditions on the return.

    Tables joined by patient: asking for the next admission discharge by discharge costs a scan for each. & "" and + 0
    make plain values of the columns, so that the join matches Patient and nothing else. An admission within 24 hours of
    a discharge to another hospital continues that spell: it is no return.
    """
    return f"""
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
        "BackAt", FactPatientFlow[admission_at] + 0,
        "BackType", FactPatientFlow[admission_type] & ""
    )
VAR Transferred =
    SELECTCOLUMNS(
        CALCULATETABLE(
            FactPatientFlow,
            REMOVEFILTERS(),
            {_deeper(_VISITS_THAT_ENDED_ANYWHERE, 3)},
            FactPatientFlow[discharge_status] = "transferred"
        ),
        "Patient", RELATED(DimPatient[patient_id]) & "",
        "SentVisit", FactPatientFlow[visit_id] & "",
        "SentFrom", FactPatientFlow[admission_at] + 0,
        "SentAt", FactPatientFlow[discharge_at] + 0
    )
VAR Continued =
    SELECTCOLUMNS(
        FILTER(
            NATURALINNERJOIN(Returns, Transferred),
            [SentVisit] <> [BackVisit]
                && [SentFrom] < [BackAt]
                && [BackAt] >= [SentAt] - 1
                && [BackAt] <= [SentAt] + 1
        ),
        "ContinuedVisit", [BackVisit]
    )
VAR Readmitted =
    FILTER(
        NATURALINNERJOIN(Departures, Returns),
        [BackVisit] <> [LeftVisit]
            && [BackAt] >= [LeftAt]
            && [BackAt] <= [LeftAt] + {READMISSION_DAYS}
            && NOT [BackVisit] IN Continued{admitted}
    )
RETURN
    COUNTROWS(DISTINCT(SELECTCOLUMNS(Readmitted, "Stay", [LeftStay])))"""


HAND_WRITTEN: Mapping[str, str] = {
    "staffed_bed_hours": f"""
{_STAFFED_HOURS}
RETURN
    SUMX(
        Staffed,
        {_deeper(_STAFFED_THEN, 2)}
        RETURN DimDepartment[staffed_beds] * COUNTROWS(StaffedHours)
    )""",
    "staffed_hours": f"""
{_STAFFED_HOURS}
VAR Pairs =
    GENERATE(
        Staffed,
        {_deeper(_STAFFED_THEN, 2)}
        RETURN SELECTCOLUMNS(StaffedHours, "Hour", DimTime[time_key])
    )
RETURN
    COUNTROWS(DISTINCT(SELECTCOLUMNS(Pairs, "StaffedHour", [Hour])))""",
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
    "occupancy_now_pct": f"DIVIDE(CALCULATE([Patients in beds now], {KNOWN_BEDS}) + 0, [Staffed beds now])",
    "current_stay_hours_mean": f"""
VAR Instant = UTCNOW()
VAR OpenStays =
    CALCULATETABLE(
        FactPatientFlow,
        FactPatientFlow[stay_kind] = "ward",
        {_deeper(_OPEN_STAYS, 2)}
    )
RETURN
    AVERAGEX(
        OpenStays,
        VAR Visit = FactPatientFlow[visit_id]
        VAR Begun =
            CALCULATE(
                MIN(FactPatientFlow[admission_at]),
                REMOVEFILTERS(),
                FactPatientFlow[visit_id] = Visit,
                {_deeper(_FIRST_STAYS_LINES, 4)}
            )
        RETURN IF(NOT ISBLANK(Begun), (Instant - Begun) * 24)
    )""",
    "visits": 'CALCULATE(DISTINCTCOUNT(FactPatientFlow[visit_id]), FactPatientFlow[stay_kind] = "ward")',
    "expected_discharges": f"""
{_TODAY}
VAR Begins = CALCULATE(MIN(DimTime[hour_start_at]), REMOVEFILTERS(), DimTime[date] = Today)
VAR Ends = CALCULATE(MIN(DimTime[hour_start_at]), REMOVEFILTERS(), DimTime[date] > Today)
RETURN
    CALCULATE(
        COUNTROWS(FactPatientFlow),
        FactPatientFlow[planned_discharge_at] >= Begins,
        FactPatientFlow[planned_discharge_at] < Ends,
        {_deeper(_OPEN_STAYS, 2)}
    )""",
    "delayed_discharges": f"""
VAR Instant = UTCNOW()
VAR Delayed =
    {_deeper(_DELAYED, 1)}
RETURN
    COUNTROWS(Delayed)""",
    "delay_hours_sum": f"""
VAR Instant = UTCNOW()
VAR Delayed =
    {_deeper(_DELAYED, 1)}
RETURN
    SUMX(
        Delayed,
        VAR Due =
            {_deeper(_DUE, 3)}
        RETURN (Instant - Due) * 24
    )""",
    **{f"long_stays_{nights}": _long_stays(nights) for nights in measures.LONG_STAY_NIGHTS},
    "unconfirmed_stays": """
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactPatientFlow),
        NOT ISBLANK(FactPatientFlow[confirmed_until]) && FactPatientFlow[confirmed_until] < Instant,
        ISBLANK(FactPatientFlow[discharge_at]) || FactPatientFlow[discharge_at] > Instant,
        REMOVEFILTERS(DimTime),
        REMOVEFILTERS(DimDate)
    )""",
    "headline_occupancy_pct": _occupancy_of(*measures.HEADLINE_CLASSES, blank=True),
    **{f"{name}_occupancy_pct": _occupancy_of(name) for name in measures.OTHER_CLASSES},
    "ed_in_department": f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactEdAttendance),
        {_deeper(_OPEN_ATTENDANCES, 2)}
    )""",
    "ed_waiting_for_bed": f"""
VAR Instant = UTCNOW()
RETURN
    CALCULATE(
        COUNTROWS(FactEdAttendance),
        {_HAS_DECISION},
        {_deeper(_OPEN_ATTENDANCES, 2)}
    )""",
    "ed_longest_wait_minutes": f"""
VAR Instant = UTCNOW()
VAR Oldest =
    CALCULATE(
        MIN(FactEdAttendance[decision_at]),
        {_HAS_DECISION},
        {_deeper(_OPEN_ATTENDANCES, 2)}
    )
RETURN
    IF(NOT ISBLANK(Oldest), (Instant - Oldest) * 1440)""",
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
    "readmissions": _readmissions(),
    "emergency_readmissions": _readmissions('\n            && [BackType] = "emergency"'),
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
