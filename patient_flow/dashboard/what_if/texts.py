"""The texts of the page "What if"."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text

TITLE = Text("What if", "Et si")
BACK = Text("Back to the figures", "Retour aux chiffres")
INTRODUCTION = Text(
    "What opened or closed beds, postponed admissions or earlier discharges would change. The same model answers as in "
    "“The days ahead”, once as it is and once with the measure. “Likely”: 8 days out of 10 lie in this range, 1 above "
    "and 1 below. It takes the measure as certain, and counts patients in this department only: where postponed or "
    "discharged patients go otherwise, it does not know.",
    "Ce que changeraient des lits ouverts ou fermés, des admissions reportées ou des sorties plus tôt. Le même modèle "
    "que dans « Les jours à venir » répond, une fois sans et une fois avec la mesure. « Probablement » : 8 jours sur "
    "10 se situent dans cette plage, 1 au-dessus et 1 au-dessous. Il tient la mesure pour certaine et ne compte que "
    "les patients de ce service : où vont sinon les patients reportés ou sortis, il ne le sait pas.",
)
ALL_DEPARTMENTS = Text("All (earlier discharges only)", "Tous (sorties plus tôt seulement)")
ALL_HOSPITALS = Text("All (earlier discharges only)", "Tous (sorties plus tôt seulement)")
BEDS = Text("Beds opened (closed: minus)", "Lits ouverts (fermés : moins)")
POSTPONED = Text("Admissions postponed, next 72 h", "Admissions reportées, 72 h à venir")
EARLIER = Text("Patients leave earlier, hours", "Patients sortis plus tôt, heures")
ASK = Text("Compute", "Calculer")
CHOOSE = Text("Choose a hospital and a measure.", "Choisissez un hôpital et une mesure.")
NEEDS_DEPARTMENT = Text(
    "Beds and postponed admissions belong to a department: choose one.",
    "Lits et admissions reportées concernent un service : choisissez-en un.",
)
TOO_MANY = Text(
    "Patients leave 0 to 12 hours earlier, and no fewer than 0 admissions are postponed.",
    "Les patients sortent 0 à 12 heures plus tôt, et au moins 0 admission est reportée.",
)
BAD_WEEK = Text(
    "The forecast of this hospital has done badly in the last week: it answers no questions until it is better again.",
    "La prévision de cet hôpital a été mauvaise la semaine passée : elle ne répond à aucune question d’ici qu’elle "
    "s’améliore.",
)
FITTING = Text(
    "The model is being computed, once per forecast: the answer follows by itself.",
    "Le modèle est en cours de calcul, une fois par prévision : la réponse suit d’elle-même.",
)
NOTHING = Text("No forecast of this place can be shown.", "Aucune prévision de ce lieu ne peut être affichée.")
UNAVAILABLE = Text(
    "The warehouse has no answer at the moment. Try again in a while.",
    "L’entrepôt de données ne répond pas pour l’instant. Réessayez dans un moment.",
)
TONIGHT_FREE = Text(
    "{name}, {moment}: {after} free {after:bed|beds} with the measure (likely {low} to {high}) instead of {before}.",
    "{name}, {moment} : {after} {after:lit libre|lits libres} avec la mesure (probablement {low} à {high}) au lieu de "
    "{before}.",
)
TONIGHT_OCCUPIED = Text(
    "{name}, {moment}: {after} occupied {after:bed|beds} with the measure (likely {low} to {high}) instead of "
    "{before}.",
    "{name}, {moment} : {after} {after:lit occupé|lits occupés} avec la mesure (probablement {low} à {high}) au lieu "
    "de {before}.",
)
WHOLE = Text("Whole hospital", "Tout l’hôpital")
AT = Text("At", "À")
EXPECTED, LIKELY = Text("Occupied", "Occupés"), Text("Likely", "Probablement")
FREE, FULL = Text("Free", "Libres"), Text("Chance of being full before", "Risque d’être complet d’ici là")
WITH = Text("{name}, with the measure", "{name}, avec la mesure")
RANGE = Text("{low} to {high}", "{low} à {high}")
CAPTION = Text("Forecast of {moment}", "Prévision du {moment}")
AS_IT_IS, CHANGED = Text("As it is", "Sans la mesure"), Text("With the measure", "Avec la mesure")
