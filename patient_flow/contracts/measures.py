"""Every measure, declared once: what is counted, how it combines, its unit, its names and its meaning.

The daily table's columns and their aggregation, the measure columns of the SQL views, the DAX measures, the dashboard's
cards and CSV headings, and the page of definitions (``infra/docs/measures.md``) are made from these declarations. The
module is long because it is one list.
"""

from __future__ import annotations

from dataclasses import replace

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.measure_types import (
    ATTENDANCES,
    CENSUS,
    DEPARTMENTS,
    HOURS,
    AtMost,
    Balance,
    Better,
    Differs,
    Equals,
    Exceeds,
    Flag,
    HandWritten,
    Known,
    Measure,
    MoreThan,
    Part,
    Passed,
    Percentile,
    Quantity,
    Ratio,
    Text,
    Unset,
)

WAIT_STANDARD_MINUTES = 240
"""A wait of at most this many minutes meets the standard (exactly 240 passes)."""

READMISSION_DAYS = 30
"""A readmission is an admission of a patient discharged alive at most this many days before."""

EMERGENCY_STANDARD_MINUTES, EMERGENCY_EXTENDED_MINUTES, EMERGENCY_LONG_MINUTES = 240, 480, 720
"""An attendance of at most the first meets the four-hour standard; one of more than the second is an extended stay (CMS
ECCQ), one of more than the third a 12-hour stay."""

BOARDING_LONG_MINUTES = 240
"""A patient who waits longer than this for a bed after the decision to admit is counted as boarding."""

EARLY_DISCHARGE_HOUR = 17
"""A discharge before this local hour is an early one."""

LONG_STAY_NIGHTS = (7, 14, 21)
"""Numbers of nights from which on a stay is a long one."""

HEADLINE_CLASSES = ("inpatient", "critical_care", "maternity")
"""Classes of departments that the headline occupancy covers; a department without a class reads as inpatient."""

OTHER_CLASSES = ("emergency", "newborn", "day_case")
"""Classes of departments whose occupancy stands beside the headline."""

# --- parts: what is counted or summed ----------------------------------------------------------------------------

_NO_DAY_CASE = (Unset("is_day_case"), Unset("is_observation"))
"""Day cases and visits that stay observation are counted beside admissions, discharges and lengths (F16)."""

ADMISSIONS = Part("admissions", "Visits with a first ward stay", (Flag("is_visit_start"), *_NO_DAY_CASE))
DAY_CASES = Part("day_cases", "Day cases, by admission date", (Flag("is_visit_start"), Flag("is_day_case")))
ARRIVALS = Part(
    "arrivals",
    "Admitted visits with a known arrival",
    (Flag("is_visit_start"), *_NO_DAY_CASE, Differs("arrival_time_key", UNKNOWN_KEY)),
    dated_by="arrival_at",
    is_daily=False,
)
TRANSFERS_IN = Part("transfers_in", "Patients that moved in from another ward", (Flag("is_transfer"),))
ENDED_STAYS = Part("ended_stays", "Stays that ended", dated_by="discharge_at", may_be_planned=True, is_daily=False)
DISCHARGES = ENDED_STAYS.only(
    "discharges", "Visits that ended by the newest event", Flag("is_visit_end"), *_NO_DAY_CASE, is_daily=True
)
EARLY_DISCHARGES = DISCHARGES.only(
    "early_discharges",
    f"Visits that ended before {EARLY_DISCHARGE_HOUR}:00 local time",
    AtMost("hour", EARLY_DISCHARGE_HOUR - 1, of=HOURS),
    is_daily=True,
)
VISITS = HandWritten("visits", "Distinct visits with a ward stay that began")
PATIENTS = HandWritten("patients", "Distinct known patients with a stay that began")

WAITS = ADMISSIONS.only("waits", "Visits with a known wait, by admission date", Known("wait_minutes"))
WAIT_SUM = WAITS.sum_of("wait_minutes", "wait_minutes_sum", "Sum of waits")
WAITS_WITHIN_240 = WAITS.only(
    "waits_within_240",
    f"Waits of at most {WAIT_STANDARD_MINUTES} minutes",
    AtMost("wait_minutes", WAIT_STANDARD_MINUTES),
)

ENDED_VISITS = DISCHARGES.only(
    "ended_visits",
    "Visits that have ended, with a known length",
    Known("visit_length_of_stay_hours"),
    is_daily=False,
)
LENGTH_SUM = ENDED_VISITS.sum_of(
    "visit_length_of_stay_hours", "length_of_stay_hours_sum", "Sum of visit lengths, by discharge date"
)
NIGHTS_SUM = replace(ENDED_VISITS.sum_of("nights", "nights_sum", "Sum of nights, by discharge date"), is_whole=True)
IN_BED_SUM = ENDED_VISITS.sum_of("in_bed_hours", "in_bed_hours_sum", "Sum of hours in ward beds, by discharge date")
OVERSTAYS_ENDED = ENDED_STAYS.only(
    "overstays",
    "Stays that ended longer than expected, by discharge date",
    Exceeds("length_of_stay_hours", "expected_los_hours"),
)
OVERSTAYS_OPEN = HandWritten("open_overstays", "Patients in beds now whose stay is longer than expected")

OCCUPIED_BED_HOURS = Part(
    "occupied_bed_hours", "Sum of the hourly census", total="occupied_beds", table=CENSUS, dated_by="hour_at"
)
OCCUPIED_KNOWN_BED_HOURS = OCCUPIED_BED_HOURS.only(
    "occupied_known_bed_hours",
    "Sum of the hourly census of departments with known staffed beds",
    Known("staffed_beds", of=DEPARTMENTS),
    is_daily=False,
)
MIDNIGHT_BEDS = OCCUPIED_BED_HOURS.only(
    "midnight_beds", "Census at local midnight, the first hour of the date", Flag("is_day_start", of=HOURS)
)
MIDNIGHT_KNOWN_BEDS = MIDNIGHT_BEDS.only(
    "midnight_known_beds",
    "Census at local midnight of departments with known staffed beds",
    Known("staffed_beds", of=DEPARTMENTS),
    is_daily=False,
)
MIDNIGHT_STAFFED_BEDS = HandWritten("midnight_staffed_beds", "Staffed beds at local midnight")
STAFFED_BED_HOURS = HandWritten(
    "staffed_bed_hours", "Staffed beds times hours of the day; the same for every gender", is_daily=True
)
STAFFED_HOURS = HandWritten("staffed_hours", "Hours in which at least one department had known staffed beds")
AVERAGE_STAFFED_BEDS = HandWritten("average_staffed_beds", "Staffed bed hours per staffed hour")
IN_BEDS_NOW = HandWritten("in_beds", "Stays that have begun and not ended")
KNOWN_IN_BEDS_NOW = HandWritten("in_known_beds", "Stays that have begun and not ended, where staffed beds are known")
STAFFED_NOW = HandWritten("staffed_beds", "Staffed beds of the department versions that are valid now")
CURRENT_STAY = HandWritten("current_stay_hours_mean", "Mean hours since the first admission of open visits")

EXPECTED_DISCHARGES = HandWritten("expected_discharges", "Open stays whose planned discharge falls on today's date")
DELAYED = HandWritten("delayed_discharges", "Open stays whose ready time, else planned discharge, has passed")
DELAY_HOURS = HandWritten("delay_hours_sum", "Sum of the hours since these times")
UNCONFIRMED = HandWritten("unconfirmed_stays", "Stays that no fact ended and that no event confirms any more")
LONG_STAYS = {
    nights: HandWritten(f"long_stays_{nights}", f"Patients in ward beds now with {nights} nights or more")
    for nights in LONG_STAY_NIGHTS
}

ATTENDED = Part("attendances", "Attendances of emergency departments", table=ATTENDANCES, dated_by="arrival_at")
DEPARTED = ATTENDED.only("ed_departed", "Attendances that departed, by arrival date", Passed("departure_at"))
WITHIN_FOUR_HOURS = DEPARTED.only(
    "ed_within_240",
    f"Attendances that departed within {EMERGENCY_STANDARD_MINUTES} minutes of arrival",
    AtMost("minutes_in_department", EMERGENCY_STANDARD_MINUTES),
)
OVER_EIGHT_HOURS = DEPARTED.only(
    "ed_over_480",
    f"Attendances that departed more than {EMERGENCY_EXTENDED_MINUTES} minutes after arrival",
    MoreThan("minutes_in_department", EMERGENCY_EXTENDED_MINUTES),
)
OVER_TWELVE_HOURS = DEPARTED.only(
    "ed_over_720",
    f"Attendances that departed more than {EMERGENCY_LONG_MINUTES} minutes after arrival",
    MoreThan("minutes_in_department", EMERGENCY_LONG_MINUTES),
)
ED_ADMITTED = DEPARTED.only("ed_admitted", "Attendances that ended in an admission", Equals("outcome", "admitted"))
ED_LEFT_UNSEEN = DEPARTED.only(
    "ed_left_without_being_seen",
    "Attendances whose patient left without being seen",
    Equals("outcome", "left_without_being_seen"),
)
ED_BOARDED = DEPARTED.only(
    "ed_boarding_over_240",
    f"Attendances with more than {BOARDING_LONG_MINUTES} minutes from the decision to admit to the departure",
    MoreThan("boarding_minutes", BOARDING_LONG_MINUTES),
)
IN_DEPARTMENT = HandWritten("ed_in_department", "Attendances that have not departed")
WAITING_FOR_BED = HandWritten("ed_waiting_for_bed", "Attendances that have not departed, with a decision to admit")
LONGEST_WAIT_FOR_BED = HandWritten("ed_longest_wait_minutes", "Longest time since such a decision")

READMISSIONS_EMERGENCY = HandWritten("emergency_readmissions", "Readmissions whose admission type is emergency")
READMISSIONS = HandWritten("readmissions", "Followed discharges that an admission of the same patient followed in time")
FOLLOWED = HandWritten("followed_discharges", f"Discharges alive whose {READMISSION_DAYS} days have passed")
PENDING = HandWritten("discharges_pending", f"Discharges alive whose {READMISSION_DAYS} days have not passed")


def _topic(topic: str, *measures: Measure) -> tuple[Measure, ...]:
    return tuple(replace(measure, topic=topic) for measure in measures)


# --- measures, by topic ------------------------------------------------------------------------------------------

_MOVEMENTS = _topic(
    "Movements",
    Measure(
        "admissions",
        ADMISSIONS,
        Text("Admissions", "Admissions"),
        Text(
            "First ward stays of visits, by the hour of admission; without day cases and observation.",
            "Premiers séjours en unité des venues, à l’heure d’admission ; hors ambulatoire et observation.",
        ),
    ),
    Measure(
        "day_cases",
        DAY_CASES,
        Text("Day cases", "Venues ambulatoires"),
        Text(
            "Day cases, by the hour of admission; they are no admissions.",
            "Venues ambulatoires, à l’heure d’admission ; elles ne comptent pas comme admissions.",
        ),
    ),
    Measure(
        "transfers_in",
        TRANSFERS_IN,
        Text("Transfers", "Mutations"),
        Text(
            "Ward stays that a move from another ward began, by the hour of the move.",
            "Séjours en unité qui suivent une mutation depuis une autre unité, à l’heure de la mutation.",
        ),
    ),
    Measure(
        "discharges",
        DISCHARGES,
        Text("Discharges", "Sorties"),
        Text(
            "Last ward stays of ended visits, by the hour of their end; a planned one counts when its time has come.",
            "Derniers séjours en unité des venues terminées, à l’heure de fin ; une sortie prévue compte à son heure.",
        ),
    ),
    Measure(
        "early_discharge_pct",
        Ratio(EARLY_DISCHARGES, DISCHARGES),
        Text(f"Discharges by {EARLY_DISCHARGE_HOUR}:00", f"Sorties avant {EARLY_DISCHARGE_HOUR} h"),
        Text(
            f"Discharges before {EARLY_DISCHARGE_HOUR}:00 local time / discharges.",
            f"Sorties avant {EARLY_DISCHARGE_HOUR} h, heure locale / sorties.",
        ),
        unit="percent",
        better=Better.HIGHER,
    ),
    Measure(
        "arrivals",
        ARRIVALS,
        Text("Arrivals", "Arrivées"),
        Text(
            "Admitted visits with a known arrival, by the hour of arrival.",
            "Venues admises dont l’arrivée est connue, à l’heure d’arrivée.",
        ),
    ),
    Measure(
        "visits",
        VISITS,
        Text("Visits", "Venues"),
        Text(
            "Distinct visits with a ward stay that began in the period.",
            "Venues distinctes dont un séjour en unité a commencé dans la période.",
        ),
    ),
    Measure(
        "patients",
        PATIENTS,
        Text("Patients", "Patients"),
        Text(
            "Distinct known patients with a stay that began in the period.",
            "Patients connus distincts dont un séjour a commencé dans la période.",
        ),
    ),
)

_WAITING = _topic(
    "Waiting",
    Measure(
        "waits",
        WAITS,
        Text("Waits", "Attentes"),
        Text(
            "Visits with a known wait from arrival to admission, by the hour of admission.",
            "Venues dont l’attente entre arrivée et admission est connue, à l’heure d’admission.",
        ),
    ),
    Measure(
        "wait_minutes_mean",
        Ratio(WAIT_SUM, WAITS),
        Text("Mean wait", "Attente moyenne"),
        Text(
            "Mean time from arrival to the first bed of the visit.",
            "Durée moyenne entre l’arrivée et le premier lit de la venue.",
        ),
        unit="minutes",
        better=Better.LOWER,
    ),
    Measure(
        "wait_minutes_p50",
        Percentile("wait_minutes_p50", "Median wait", WAITS, "wait_minutes", 0.5),
        Text("Median wait", "Attente médiane"),
        Text("Half of the waits are no longer than this.", "La moitié des attentes ne dépasse pas cette durée."),
        unit="minutes",
        better=Better.LOWER,
    ),
    Measure(
        "wait_minutes_p90",
        Percentile("wait_minutes_p90", "90th percentile of waits", WAITS, "wait_minutes", 0.9),
        Text("90th percentile wait", "Attente, 90e centile"),
        Text(
            "Nine waits in ten are no longer than this.",
            "Neuf attentes sur dix ne dépassent pas cette durée.",
        ),
        unit="minutes",
        better=Better.LOWER,
    ),
    Measure(
        "within_240_pct",
        Ratio(WAITS_WITHIN_240, WAITS),
        Text(f"Waits within {WAIT_STANDARD_MINUTES} minutes", f"Attentes d’au plus {WAIT_STANDARD_MINUTES} minutes"),
        Text(
            f"Waits of at most {WAIT_STANDARD_MINUTES} minutes / waits; exactly {WAIT_STANDARD_MINUTES} passes.",
            f"Attentes d’au plus {WAIT_STANDARD_MINUTES} minutes / attentes.",
        ),
        unit="percent",
        better=Better.HIGHER,
    ),
)

_LENGTH_OF_STAY = _topic(
    "Length of stay",
    Measure(
        "ended_visits",
        ENDED_VISITS,
        Text("Ended visits", "Venues terminées"),
        Text(
            "Visits that have ended, with a known length, by the hour of discharge.",
            "Venues terminées dont la durée est connue, à l’heure de sortie.",
        ),
    ),
    Measure(
        "length_of_stay_hours_mean",
        Ratio(LENGTH_SUM, ENDED_VISITS),
        Text("Mean length of stay", "Durée moyenne de séjour"),
        Text(
            "Mean length of visits that have ended, from first admission to discharge, by the hour of discharge.",
            "Durée moyenne des venues terminées, de la première admission à la sortie, à l’heure de sortie.",
        ),
        unit="hours",
        better=Better.LOWER,
    ),
    Measure(
        "length_of_stay_hours_median",
        Percentile(
            "length_of_stay_hours_median", "Median visit length", ENDED_VISITS, "visit_length_of_stay_hours", 0.5
        ),
        Text("Median length of stay", "Durée médiane de séjour"),
        Text(
            "Median length of visits that have ended, from first admission to discharge, by the hour of discharge.",
            "Durée médiane des venues terminées, de la première admission à la sortie, à l’heure de sortie.",
        ),
        unit="hours",
        better=Better.LOWER,
    ),
    Measure(
        "nights_mean",
        Ratio(NIGHTS_SUM, ENDED_VISITS),
        Text("Mean nights", "Nuits en moyenne"),
        Text(
            "Local midnights in ward beds per visit that has ended, by the hour of discharge.",
            "Minuits passés en unité par venue terminée, à l’heure de sortie.",
        ),
        better=Better.LOWER,
        digits=1,
    ),
    Measure(
        "in_bed_hours_mean",
        Ratio(IN_BED_SUM, ENDED_VISITS),
        Text("Mean time in bed", "Durée moyenne au lit"),
        Text(
            "Hours in ward beds per visit that has ended, without time out of bed, by the hour of discharge.",
            "Heures en lit d’unité par venue terminée, hors absences, à l’heure de sortie.",
        ),
        unit="hours",
        better=Better.LOWER,
    ),
    Measure(
        "ended_overstays",
        OVERSTAYS_ENDED,
        Text("Overstays ended", "Séjours prolongés terminés"),
        Text(
            "Stays that ended, by the hour of their end, and had lasted longer than their department expects.",
            "Séjours terminés, à l’heure de leur fin, qui ont duré plus que leur service ne le prévoit.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "open_overstays",
        OVERSTAYS_OPEN,
        Text("Overstays open", "Séjours prolongés en cours"),
        Text(
            "Patients in beds now who have stayed longer than their department expects, whatever the period.",
            "Patients présents dont le séjour dure plus que prévu par leur service, quelle que soit la période.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "all_overstays",
        Balance((OVERSTAYS_ENDED, OVERSTAYS_OPEN)),
        Text("Overstays", "Séjours prolongés"),
        Text(
            "Stays longer than their department expects: ended in the period or, if it includes now, still open.",
            "Séjours plus longs que prévu par leur service : terminés dans la période, ou encore en cours.",
        ),
        better=Better.LOWER,
    ),
)

_NOW = _topic(
    "Now",
    Measure(
        "current_stay_hours_mean",
        CURRENT_STAY,
        Text("Mean current stay", "Durée moyenne des séjours en cours"),
        Text(
            "Hours since the first admission of the visits that are open now.",
            "Heures écoulées depuis la première admission des venues en cours.",
        ),
        unit="hours",
        better=Better.LOWER,
    ),
    Measure(
        "in_beds",
        IN_BEDS_NOW,
        Text("Patients in beds now", "Patients hospitalisés maintenant"),
        Text(
            "Stays that have begun and not ended, at this moment.",
            "Séjours commencés et non terminés, à cet instant.",
        ),
    ),
    Measure(
        "staffed_beds",
        STAFFED_NOW,
        Text("Staffed beds now", "Lits ouverts actuellement"),
        Text(
            "Staffed beds of the department versions that are valid now.",
            "Lits ouverts des services, selon le référentiel en vigueur.",
        ),
        unit="beds",
    ),
    Measure(
        "expected_discharges",
        EXPECTED_DISCHARGES,
        Text("Expected discharges today", "Sorties prévues aujourd’hui"),
        Text(
            "Open stays whose planned discharge falls on today’s local date.",
            "Séjours en cours dont la sortie prévue tombe aujourd’hui.",
        ),
    ),
    Measure(
        "delayed_discharges",
        DELAYED,
        Text("Delayed discharges", "Sorties retardées"),
        Text(
            "Open stays whose ready time, else planned discharge, has passed.",
            "Séjours en cours dont l’heure de sortie médicale, sinon la sortie prévue, est dépassée.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "delay_hours_sum",
        DELAY_HOURS,
        Text("Sum of delays", "Cumul des retards"),
        Text("Hours since these times, added up.", "Heures écoulées depuis ces échéances, additionnées."),
        unit="hours",
        better=Better.LOWER,
    ),
    *(
        Measure(
            f"long_stays_{nights}",
            part,
            Text(f"Patients with {nights} nights or more", f"Patients présents depuis {nights} nuits ou plus"),
            Text(
                f"Patients in ward beds now whose visit has {nights} nights or more.",
                f"Patients présents en unité dont la venue compte {nights} nuits ou plus.",
            ),
            better=Better.LOWER,
        )
        for nights, part in LONG_STAYS.items()
    ),
    Measure(
        "unconfirmed_stays",
        UNCONFIRMED,
        Text("Unconfirmed stays", "Séjours non confirmés"),
        Text(
            "Stays that nothing ended and that no event has confirmed for too long; no other measure of now has them.",
            "Séjours sans fin, que rien ne confirme depuis trop longtemps ; absents des autres mesures du moment.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "occupancy_now_pct",
        Ratio(KNOWN_IN_BEDS_NOW, STAFFED_NOW),
        Text("Bed occupancy now", "Occupation actuelle des lits"),
        Text(
            "Patients in beds now / staffed beds now, of departments with known beds.",
            "Patients présents / lits ouverts actuellement, dans les services dont les lits sont connus.",
        ),
        unit="percent",
    ),
)

_OCCUPANCY = _topic(
    "Occupancy",
    Measure(
        "occupied_bed_hours",
        OCCUPIED_BED_HOURS,
        Text("Occupied bed hours", "Heures-lits occupées"),
        Text("Sum of the hourly census.", "Somme des présents à chaque heure."),
    ),
    Measure(
        "midnight_beds",
        MIDNIGHT_BEDS,
        Text("Patients in beds at midnight", "Présents à minuit"),
        Text("Sum of the census at local midnight.", "Somme des présents à minuit, heure locale."),
    ),
    Measure(
        "midnight_occupancy_pct",
        Ratio(MIDNIGHT_KNOWN_BEDS, MIDNIGHT_STAFFED_BEDS),
        Text("Midnight bed occupancy", "Occupation des lits à minuit"),
        Text("Bed occupancy at local midnight.", "Occupation des lits à minuit, heure locale."),
        unit="percent",
    ),
    Measure(
        "staffed_bed_hours",
        STAFFED_BED_HOURS,
        Text("Staffed bed hours", "Heures-lits ouvertes"),
        Text(
            "Sum of staffed beds over the hours of the census, occupied or not, as valid at each hour.",
            "Somme des lits ouverts à chaque heure du décompte, occupés ou non, tels que valables à cette heure.",
        ),
    ),
    Measure(
        "staffed_hours",
        STAFFED_HOURS,
        Text("Staffed hours", "Heures avec lits ouverts"),
        Text(
            "Hours of the census in which at least one department had known staffed beds.",
            "Heures du décompte où les lits ouverts d’au moins un service sont connus.",
        ),
    ),
    Measure(
        "occupancy_pct",
        Ratio(OCCUPIED_KNOWN_BED_HOURS, STAFFED_BED_HOURS),
        Text("Bed occupancy", "Occupation des lits"),
        Text(
            "Occupied / staffed bed hours of departments with known beds; genders add up to the department.",
            "Heures-lits occupées / ouvertes des services à lits connus ; les sexes s’additionnent.",
        ),
        unit="percent",
    ),
    Measure(
        "headline_occupancy_pct",
        HandWritten("headline_occupancy_pct", "Bed occupancy of inpatient, critical care and maternity departments"),
        Text("Headline bed occupancy", "Occupation globale des lits"),
        Text(
            "Bed occupancy of inpatient, critical care and maternity departments, and of those without a class.",
            "Occupation des services d’hospitalisation, de soins critiques et de maternité, ou sans classe.",
        ),
        unit="percent",
    ),
    *(
        Measure(
            f"{name}_occupancy_pct",
            HandWritten(f"{name}_occupancy_pct", f"Bed occupancy of departments of class {name}"),
            Text(f"Bed occupancy, {english}", f"Occupation des lits, {french}"),
            Text(
                f"Bed occupancy of departments of class {name}; not in the headline.",
                f"Occupation des services de classe {name} ; hors occupation globale.",
            ),
            unit="percent",
        )
        for name, english, french in (
            ("emergency", "emergency", "urgences"),
            ("newborn", "newborn", "néonatalogie"),
            ("day_case", "day case", "ambulatoire"),
        )
    ),
    Measure(
        "average_staffed_beds",
        Ratio(STAFFED_BED_HOURS, STAFFED_HOURS),
        Text("Average staffed beds", "Lits ouverts en moyenne"),
        Text("Staffed bed hours / staffed hours.", "Heures-lits ouvertes / heures avec lits ouverts."),
        unit="beds",
    ),
    Measure(
        "bed_turnover",
        Ratio(DISCHARGES, AVERAGE_STAFFED_BEDS),
        Text("Bed turnover", "Rotation des lits"),
        Text("Discharges per staffed bed in the period.", "Sorties par lit ouvert dans la période."),
        better=Better.HIGHER,
        digits=2,
    ),
)

_READMISSIONS = _topic(
    "Readmissions",
    Measure(
        "readmissions",
        READMISSIONS,
        Text(f"Readmissions within {READMISSION_DAYS} days", f"Réadmissions à {READMISSION_DAYS} jours"),
        Text(
            f"Followed discharges whose patient was admitted again within {READMISSION_DAYS} days, anywhere.",
            f"Sorties suivies d’une nouvelle admission sous {READMISSION_DAYS} jours, dans tout hôpital.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "emergency_readmissions",
        READMISSIONS_EMERGENCY,
        Text(
            f"Emergency readmissions within {READMISSION_DAYS} days",
            f"Réadmissions en urgence à {READMISSION_DAYS} jours",
        ),
        Text(
            "Followed discharges whose patient was admitted again in time as an emergency, where the feed states it.",
            "Sorties suivies d’une nouvelle admission en urgence dans le délai, si le flux l’indique.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "followed_discharges",
        FOLLOWED,
        Text("Followed discharges", "Sorties suivies"),
        Text(
            f"Discharges alive whose {READMISSION_DAYS} days have passed, by the hour of discharge.",
            f"Sorties de patients vivants dont les {READMISSION_DAYS} jours sont écoulés, à l’heure de sortie.",
        ),
    ),
    Measure(
        "readmission_pct",
        Ratio(READMISSIONS, FOLLOWED),
        Text(f"Readmission within {READMISSION_DAYS} days", f"Taux de réadmission à {READMISSION_DAYS} jours"),
        Text(
            f"Readmissions within {READMISSION_DAYS} days / followed discharges.",
            f"Réadmissions à {READMISSION_DAYS} jours / sorties suivies.",
        ),
        unit="percent",
        better=Better.LOWER,
    ),
    Measure(
        "discharges_pending",
        PENDING,
        Text("Discharges still followed", "Sorties encore en suivi"),
        Text(
            f"Discharges alive whose {READMISSION_DAYS} days have not passed: not yet in the readmission rate.",
            f"Sorties de patients vivants dont les {READMISSION_DAYS} jours ne sont pas écoulés.",
        ),
    ),
)


def _time(name: str, rows: Part, column: str, english: str, french: str) -> tuple[Measure, ...]:
    """Median, 90th and 95th percentile of a time of attendances, dated by arrival."""
    known = rows.only(f"{name}_known", f"Attendances with a known {column}", Known(column), is_daily=False)
    return tuple(
        Measure(
            f"{name}_p{percent}",
            Percentile(
                f"{name}_p{percent}",
                f"{percent}th percentile of {column}, by arrival date",
                known,
                column,
                percent / 100,
            ),
            Text(f"{english}, {label_en}", f"{french}, {label_fr}"),
            Text(
                f"{english}: {share_en} of the attendances take no longer, by the hour of arrival.",
                f"{french} : {share_fr} des passages ne durent pas plus, à l’heure d’arrivée.",
            ),
            unit="minutes",
            better=Better.LOWER,
        )
        for percent, label_en, label_fr, share_en, share_fr in (
            (50, "median", "médiane", "half", "la moitié"),
            (90, "90th percentile", "90e centile", "90 %", "90 %"),
            (95, "95th percentile", "95e centile", "95 %", "95 %"),
        )
    )


_EMERGENCY = _topic(
    "Emergency",
    Measure(
        "attendances",
        ATTENDED,
        Text("Attendances", "Passages aux urgences"),
        Text(
            "Attendances of emergency departments, by the hour of arrival.",
            "Passages aux urgences, à l’heure d’arrivée.",
        ),
    ),
    Measure(
        "ed_departed",
        DEPARTED,
        Text("Attendances departed", "Passages terminés"),
        Text(
            "Attendances whose patient has left the emergency department, by the hour of arrival.",
            "Passages dont le patient a quitté les urgences, à l’heure d’arrivée.",
        ),
    ),
    Measure(
        "four_hour_pct",
        Ratio(WITHIN_FOUR_HOURS, DEPARTED),
        Text("Departed within four hours", "Partis en quatre heures"),
        Text(
            f"Attendances of at most {EMERGENCY_STANDARD_MINUTES} minutes / attendances departed.",
            f"Passages d’au plus {EMERGENCY_STANDARD_MINUTES} minutes / passages terminés.",
        ),
        unit="percent",
        better=Better.HIGHER,
    ),
    Measure(
        "ed_over_480",
        OVER_EIGHT_HOURS,
        Text("Attendances over 8 hours", "Passages de plus de 8 heures"),
        Text(
            "Attendances departed more than 8 hours after arrival, by the hour of arrival.",
            "Passages terminés plus de 8 heures après l’arrivée, à l’heure d’arrivée.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "ed_over_720",
        OVER_TWELVE_HOURS,
        Text("Attendances over 12 hours", "Passages de plus de 12 heures"),
        Text(
            "Attendances departed more than 12 hours after arrival, by the hour of arrival.",
            "Passages terminés plus de 12 heures après l’arrivée, à l’heure d’arrivée.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "ed_over_720_pct",
        Ratio(OVER_TWELVE_HOURS, DEPARTED),
        Text("Share over 12 hours", "Part de plus de 12 heures"),
        Text("Attendances over 12 hours / attendances departed.", "Passages de plus de 12 heures / passages terminés."),
        unit="percent",
        better=Better.LOWER,
    ),
    Measure(
        "left_without_being_seen_pct",
        Ratio(ED_LEFT_UNSEEN, DEPARTED),
        Text("Left without being seen", "Partis sans être vus"),
        Text(
            "Attendances whose patient left without being seen / attendances departed.",
            "Passages dont le patient est parti sans être vu / passages terminés.",
        ),
        unit="percent",
        better=Better.LOWER,
    ),
    Measure(
        "conversion_pct",
        Ratio(ED_ADMITTED, DEPARTED),
        Text("Conversion to admission", "Taux d’hospitalisation"),
        Text(
            "Attendances that ended in an admission / attendances departed.",
            "Passages suivis d’une admission / passages terminés.",
        ),
        unit="percent",
    ),
    Measure(
        "ed_boarding_over_240",
        ED_BOARDED,
        Text("Boarding over four hours", "Attente d’un lit de plus de quatre heures"),
        Text(
            "Attendances with more than four hours from the decision to admit to the departure.",
            "Passages avec plus de quatre heures entre la décision d’hospitaliser et le départ.",
        ),
        better=Better.LOWER,
    ),
    *_time("minutes_to_triage", ATTENDED, "minutes_to_triage", "Time to triage", "Délai de tri"),
    *_time("minutes_to_seen", ATTENDED, "minutes_to_seen", "Time to being seen", "Délai de prise en charge"),
    *_time("minutes_in_department", DEPARTED, "minutes_in_department", "Time in department", "Durée de passage"),
    *_time("boarding_minutes", DEPARTED, "boarding_minutes", "Boarding time", "Attente d’un lit"),
    Measure(
        "ed_in_department",
        IN_DEPARTMENT,
        Text("In the emergency department now", "Présents aux urgences maintenant"),
        Text(
            "Attendances that have not departed, at this moment.",
            "Passages non terminés, à cet instant.",
        ),
    ),
    Measure(
        "ed_waiting_for_bed",
        WAITING_FOR_BED,
        Text("Waiting for a bed now", "En attente d’un lit maintenant"),
        Text(
            "Attendances that have not departed, with a decision to admit.",
            "Passages non terminés, avec une décision d’hospitaliser.",
        ),
        better=Better.LOWER,
    ),
    Measure(
        "ed_longest_wait_minutes",
        LONGEST_WAIT_FOR_BED,
        Text("Longest wait for a bed now", "Plus longue attente d’un lit maintenant"),
        Text(
            "Longest time since the decision to admit of those who wait for a bed.",
            "Plus long délai depuis la décision d’hospitaliser des patients en attente d’un lit.",
        ),
        unit="minutes",
        better=Better.LOWER,
    ),
)

MEASURES: tuple[Measure, ...] = (
    *_MOVEMENTS,
    *_WAITING,
    *_LENGTH_OF_STAY,
    *_NOW,
    *_OCCUPANCY,
    *_EMERGENCY,
    *_READMISSIONS,
)
"""Every measure of the contract, section 5."""

BY_NAME = {measure.name: measure for measure in MEASURES}
CHARTED = tuple(
    BY_NAME[name]
    for name in (
        "headline_occupancy_pct",
        "occupancy_pct",
        "attendances",
        "four_hour_pct",
        "ed_over_720",
        "ed_boarding_over_240",
        "left_without_being_seen_pct",
        "conversion_pct",
        "admissions",
        "day_cases",
        "transfers_in",
        "discharges",
        "early_discharge_pct",
        "wait_minutes_mean",
        "within_240_pct",
        "ended_overstays",
    )
)
"""Measures that have control charts: sums and ratios, which the daily table gives for any range. In that order."""
Daily = Quantity | Percentile
DAILY: tuple[Daily, ...] = tuple(
    quantity
    for quantity in dict.fromkeys(quantity for measure in MEASURES for quantity in measure.quantities)
    if isinstance(quantity, Percentile) or quantity.is_daily
)
"""Columns of the daily table besides its key."""

PARTS = {quantity.name: quantity for measure in MEASURES for quantity in measure.quantities}
"""Name → what measures are made of."""


def columns_of(table: str, *dated_by: str) -> tuple[str, ...]:
    """The columns of ``table`` that parts and percentiles dated by these instants read."""
    read: list[str] = []
    for quantity in PARTS.values():
        part = quantity.rows if isinstance(quantity, Percentile) else quantity
        if isinstance(part, Part) and part.table == table and part.dated_by in dated_by:
            read += [column for owner, column in part.columns if owner == table]
            read += [quantity.column] if isinstance(quantity, Percentile) else []
    return tuple(dict.fromkeys(read))
