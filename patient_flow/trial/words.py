"""Words by which senders call what the contract knows, in the languages of the feeds that were seen."""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, tuple[str, ...]] = {
    "event_id": ("event id", "message id", "id of event"),
    "visit_id": (
        *(
            "visit id",
            "visit",
            "visit no",
            "visit number",
            "encounter id",
            "encounter",
            "stay id",
            "hadm id",
            "case id",
        ),
        *(
            "case",
            "episode",
            "episode id",
            "fallnummer",
            "fall",
            "fallnr",
            "fall nr",
            "fall id",
            "sejour",
            "num sejour",
        ),
        *("iep", "episodio", "opnamenummer", "admission id"),
    ),
    "patient_id": (
        *("patient id", "patient", "patient no", "patient number", "subject id", "subject", "mrn", "person id"),
        *(
            "patientennummer",
            "patnr",
            "pat nr",
            "patienten nr",
            "ipp",
            "nip",
            "paciente",
            "pid",
            "medical record number",
        ),
    ),
    "hospital_id": (
        *("hospital id", "hospital", "site", "facility", "facility id", "hospital code", "provider", "klinik", "haus"),
        *("etablissement", "finess", "hopital", "centro", "ziekenhuis", "org", "organization"),
    ),
    "department": (
        *(
            "department",
            "department name",
            "dept",
            "ward",
            "ward name",
            "unit",
            "care unit",
            "careunit",
            "curr careunit",
        ),
        *("service", "station", "location", "abteilung", "unite", "uf", "servicio", "afdeling", "org group"),
    ),
    "bed_id": ("bed id", "bed", "bed no", "bett", "lit", "cama"),
    "gender": ("gender", "sex", "geschlecht", "sexe", "sexo", "geslacht"),
    "age": ("age", "age years", "anchor age", "alter", "edad", "leeftijd"),
    "event_type": (
        *("event type", "event", "type", "activity", "action", "kind", "trigger", "message type", "concept name"),
        *("ereignis", "evenement", "mouvement", "bewegungsart", "type mouvement"),
    ),
    "event_time": (
        *(
            "event time",
            "timestamp",
            "time",
            "when",
            "at",
            "time timestamp",
            "event timestamp",
            "datetime",
            "date time",
        ),
        *("date", "datum", "zeitpunkt", "date mouvement", "occurred at", "occurred", "recorded at"),
    ),
    "arrival_time": ("arrival time", "arrival", "arrived", "edregtime", "ankunft", "registration time", "arrivee"),
    "triage_time": ("triage time", "triage", "triaged"),
    "admission_time": (
        *(
            "admission time",
            "admission",
            "admit time",
            "admittime",
            "admitted",
            "admitted at",
            "admission date",
            "intime",
        ),
        *("aufnahme", "aufnahmedatum", "aufnahmezeit", "entree", "date entree", "start time", "start", "in time"),
    ),
    "discharge_time": (
        *("discharge time", "discharge", "dischtime", "discharged", "discharged at", "discharge date", "outtime"),
        *("entlassung", "entlassungsdatum", "sortie", "date sortie", "end time", "end", "out time", "left"),
    ),
    "discharge_status": (
        "discharge status",
        "disposition",
        "discharge location",
        "discharge disposition",
        "mode sortie",
    ),
    "visit_class": ("visit class", "patient class", "class", "encounter class"),
    "admission_type": ("admission type", "admit type", "aufnahmeart", "mode entree"),
    "wait_minutes": ("wait minutes", "wait", "waiting time", "wartezeit"),
}
"""Names of fields, as :func:`spelled` spells them; the likelier first."""

BIRTH_DATES = ("birth date", "birthdate", "date of birth", "dob", "born", "geburtsdatum", "date naissance", "birth day")
PERSONAL = (
    *(
        "name",
        "first name",
        "last name",
        "surname",
        "given name",
        "family name",
        "nachname",
        "vorname",
        "nom",
        "prenom",
    ),
    *("address", "street", "city", "zip", "phone", "email", "adresse", "telefon", "patient name"),
)

VALUES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "event_type": {
        "arrival": ("arriv", "registration", "ankunft", "a04", "check in"),
        "triage": ("triage",),
        "admission": ("admi", "aufnahme", "entree", "entrée", "a01", "ingreso", "opname", "in"),
        "transfer": ("transf", "verleg", "umzug", "mutation", "a02", "move"),
        "discharge": ("disch", "entlass", "sortie", "a03", "alta", "release", "ontslag", "out"),
        "update": ("update", "a08", "change", "änderung"),
        "cancel_admission": ("a11",),
        "cancel_transfer": ("a12",),
        "cancel_discharge": ("a13",),
    },
    "gender": {
        "Male": ("male", "man", "männlich", "maennlich", "homme", "h", "masculin", "hombre", "varon"),
        "Female": ("female", "woman", "weiblich", "w", "femme", "féminin", "feminin", "mujer"),
        "Other": ("other", "divers", "d", "x", "autre"),
        "Unknown": ("unknown", "unbekannt", "inconnu", "u", "n/a"),
    },
    "discharge_status": {
        "home": ("home", "nach hause", "domicile", "routine"),
        "transferred": ("transfer", "other hospital", "verleg", "mutation"),
        "deceased": ("dece", "died", "dead", "death", "expired", "verstorben", "exitus"),
        "left_without_being_seen": ("without being seen", "lwbs"),
        "left_against_advice": ("against", "ama"),
        "care_facility": ("nursing", "skilled", "rehab", "pflegeheim", "ehpad", "hospice", "long term"),
        "other": ("other", "autre", "sonstige", "admitted"),
    },
    "visit_class": {
        "inpatient": ("inpatient", "imp", "stationär", "i"),
        "emergency": ("emergency", "emer", "notfall", "urgence", "e"),
        "outpatient": ("outpatient", "ambulant", "amb", "o"),
        "day_case": ("day", "tagesklinik", "ambulatoire"),
        "observation": ("observation", "obsenc"),
    },
    "admission_type": {
        "emergency": ("emerg", "urgent", "notfall", "urgence"),
        "elective": ("elective", "geplant", "programme", "scheduled"),
        "maternity": ("matern", "labor", "geburt"),
        "newborn": ("newborn", "neugeboren"),
        "transfer": ("transfer",),
        "other": ("other", "autre"),
    },
}
"""How senders call values of fields with a fixed vocabulary: up to three letters as a whole word, else as a part."""
