"""Every measure, declared once: what is counted, how it combines, its unit, its names and its meaning.

The daily table's columns and their aggregation, the measure columns of the SQL views, the DAX measures, the dashboard's
cards and CSV headings, and the page of definitions (``infra/docs/measures.md``) are made from these declarations. The
module is long because it is one list.
"""

from __future__ import annotations

from dataclasses import replace

from patient_flow.contracts.events import UNKNOWN_KEY
from patient_flow.contracts.measure_types import (
    CENSUS,
    DEPARTMENTS,
    HOURS,
    AtMost,
    Balance,
    Better,
    Differs,
    Exceeds,
    Flag,
    HandWritten,
    Known,
    Measure,
    Part,
    Percentile,
    Quantity,
    Ratio,
    Text,
)

WAIT_STANDARD_MINUTES = 240
"""A wait of at most this many minutes meets the standard (exactly 240 passes)."""

READMISSION_DAYS = 30
"""A readmission is an admission of a patient discharged alive at most this many days before."""


# --- parts: what is counted or summed ----------------------------------------------------------------------------

ADMISSIONS = Part("admissions", "Visits that started", (Flag("is_visit_start"),))
ARRIVALS = Part(
    "arrivals",
    "Admitted visits with a known arrival",
    (Flag("is_visit_start"), Differs("arrival_time_key", UNKNOWN_KEY)),
    dated_by="arrival_at",
    is_daily=False,
)
TRANSFERS_IN = Part("transfers_in", "Patients that moved in", (Differs("from_department_key", UNKNOWN_KEY),))
ENDED_STAYS = Part("ended_stays", "Stays that ended", dated_by="discharge_at", may_be_planned=True, is_daily=False)
DISCHARGES = ENDED_STAYS.only("discharges", "Visits that ended by the newest event", Flag("is_visit_end"))
VISITS = HandWritten("visits", "Distinct visits with a stay that began")
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
            "Stays that start a visit, by the hour of admission.",
            "Séjours qui ouvrent une venue, à l’heure d’admission.",
        ),
    ),
    Measure(
        "transfers_in",
        TRANSFERS_IN,
        Text("Transfers", "Mutations"),
        Text(
            "Stays that a move from another department began, by the hour of the move.",
            "Séjours qui suivent une mutation depuis un autre service, à l’heure de la mutation.",
        ),
    ),
    Measure(
        "discharges",
        DISCHARGES,
        Text("Discharges", "Sorties"),
        Text(
            "Stays that ended a visit, by the hour of discharge; a planned one counts when its time has come.",
            "Séjours qui ont clos une venue, à l’heure de sortie ; une sortie prévue compte à son heure.",
        ),
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
            "Distinct visits with a stay that began in the period.",
            "Venues distinctes dont un séjour a commencé dans la période.",
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
        Text("Patients in beds now", "Patients hospitalisés"),
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

MEASURES: tuple[Measure, ...] = (*_MOVEMENTS, *_WAITING, *_LENGTH_OF_STAY, *_NOW, *_OCCUPANCY, *_READMISSIONS)
"""Every measure of the contract, section 5."""

BY_NAME = {measure.name: measure for measure in MEASURES}
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
