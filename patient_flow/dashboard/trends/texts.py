"""The texts of the page "Over time", in English and French."""

from __future__ import annotations

from patient_flow.contracts.measure_types import Text
from patient_flow.transforms.control_charts import MIN_POINTS, RUN_POINTS, Assurance, SpecialCause, Variation

TITLE = Text("Over time", "Évolution")
BACK = Text("Now and the last 28 days", "Maintenant et les 28 derniers jours")
FROM, TO, BY = Text("From", "Du"), Text("To (included)", "Au (inclus)"), Text("Charts by", "Graphiques par")
STEPS = {
    "day": Text("day", "jour"),
    "week": Text("week", "semaine"),
    "month": Text("month", "mois"),
}
STEPS_OF = {
    "day": Text("closed days", "jours clos"),
    "week": Text("whole weeks", "semaines entières"),
    "month": Text("whole months", "mois entiers"),
}
COMPARED = Text("Totals, and two earlier ranges", "Totaux, et deux périodes antérieures")
COMPARED_NOTE = Text(
    "Exact sums and ratios over every day of the range, today so far included. A dash: data does not cover it.",
    "Sommes et rapports exacts sur tous les jours de la période, jour en cours compris. Tiret : données incomplètes.",
)
RANGE = Text("{first} to {last}", "{first} – {last}")
BEFORE = Text("range before: {first} to {last}", "période précédente : {first} – {last}")
YEAR_BEFORE = Text("364 days earlier: {first} to {last}", "364 jours plus tôt : {first} – {last}")
MEASURE = Text("Measure", "Indicateur")
MONTH = Text("Month", "Mois")
PLACES = Text("Side by side", "Côte à côte")
PLACES_NOTE = Text("Over the whole range.", "Sur toute la période.")
MONTHS = Text("Percentiles and lengths, per month", "Centiles et durées, par mois")
MONTHS_NOTE = Text(
    "Percentiles cannot be added up, so they stand per calendar month (its days within the range).",
    "Les centiles ne s’additionnent pas : ils figurent par mois (ses jours dans la période).",
)
MONTHS_LATER = Text(
    "The months of this range are still being read. Try again in half a minute.",
    "Les mois de cette période sont en cours de lecture. Réessayez dans une demi-minute.",
)
MONTHS_PENDING = Text(
    "{count} {count:month is|months are} still being read.", "{count} mois {count:est|sont} en cours de lecture."
)
CHARTS = Text("Plot the dots: control charts", "Cartes de contrôle")
CHARTS_NOTE = Text(
    "XmR charts over {steps}: mean, and limits at 2.66 mean moving ranges. What lies within them without a pattern is "
    "usual variation.",
    "Cartes XmR par {steps} : moyenne, et limites à 2,66 étendues mobiles moyennes. Entre elles et sans motif "
    "particulier, la variation est habituelle.",
)
NO_CHARTS = Text(
    "No whole step with values in this range.", "Aucun intervalle entier avec des valeurs dans cette période."
)
NO_AGES = Text(
    "Age groups are known for the last 28 days only, on the page “Now”.",
    "Les classes d’âge ne sont connues que pour les 28 derniers jours, sur la page « Maintenant ».",
)
NO_DATA = Text("There is no data in this range.", "Aucune donnée dans cette période.")
READING = Text("This range is being read for the first time.", "Cette période est lue pour la première fois.")
READING_NOTE = Text("Still being read.", "Lecture en cours.")
COMPLETE_SINCE = Text(
    "Data is complete from {first} on: charts begin there. Of the days before it, only the patients are known who were "
    "still in bed when the feed began; totals include these days.",
    "Les données sont complètes à partir du {first} : les graphiques commencent là. Des jours précédents, seuls sont "
    "connus les patients encore hospitalisés au début du flux ; les totaux comprennent ces jours.",
)
DATA_SINCE = Text("Data begins on {first}.", "Les données commencent le {first}.")
DAY, STEP, VALUE, MEAN = (
    Text("Day", "Jour"),
    Text("From", "À partir du"),
    Text("Value", "Valeur"),
    Text("Mean", "Moyenne"),
)
LOWER, UPPER = Text("Lower limit", "Limite basse"), Text("Upper limit", "Limite haute")
CAUSE, MEANING = Text("Special cause", "Cause spéciale"), Text("Meaning", "Signification")
NEWEST = Text("Table: newest {count} of {points} points", "Tableau : {count} derniers points sur {points}")
TABLE, CSV = Text("Table", "Tableau"), Text("CSV", "CSV")

VARIATIONS = {
    Variation.COMMON: Text("usual variation", "variation habituelle"),
    Variation.IMPROVEMENT: Text("improvement", "amélioration"),
    Variation.CONCERN: Text("concern", "à surveiller"),
    Variation.HIGH: Text("special cause, high", "cause spéciale, haut"),
    Variation.LOW: Text("special cause, low", "cause spéciale, bas"),
}
CAUSES = {
    SpecialCause.ABOVE_LIMIT: Text("above the upper limit", "au-dessus de la limite haute"),
    SpecialCause.BELOW_LIMIT: Text("below the lower limit", "au-dessous de la limite basse"),
    SpecialCause.RISING: Text(f"{RUN_POINTS} points rising", f"{RUN_POINTS} points en hausse"),
    SpecialCause.FALLING: Text(f"{RUN_POINTS} points falling", f"{RUN_POINTS} points en baisse"),
    SpecialCause.NEAR_UPPER: Text("2 of 3 points near the upper limit", "2 points sur 3 près de la limite haute"),
    SpecialCause.NEAR_LOWER: Text("2 of 3 points near the lower limit", "2 points sur 3 près de la limite basse"),
    SpecialCause.ABOVE_MEAN: Text(
        f"{RUN_POINTS} points or more above the mean", f"{RUN_POINTS} points ou plus au-dessus de la moyenne"
    ),
    SpecialCause.BELOW_MEAN: Text(
        f"{RUN_POINTS} points or more below the mean", f"{RUN_POINTS} points ou plus au-dessous de la moyenne"
    ),
}
ASSURANCES = {
    Assurance.PASS: Text(
        "The target of {target} is met consistently.", "L’objectif de {target} est atteint durablement."
    ),
    Assurance.FAIL: Text(
        "The target of {target} is missed consistently: only a change of the process will reach it.",
        "L’objectif de {target} est manqué durablement : seul un changement du processus permettra de l’atteindre.",
    ),
    Assurance.INCONSISTENT: Text(
        "The target of {target} lies within the limits: it is met or missed by chance.",
        "L’objectif de {target} est entre les limites : il est atteint ou manqué au hasard.",
    ),
}
LEVELS = Text("Mean {mean}, limits {lower} to {upper}.", "Moyenne {mean}, limites {lower} à {upper}.")
MEAN_ONLY = Text(
    "Mean {mean}; nothing varies enough for limits.", "Moyenne {mean} ; pas assez de variation pour des limites."
)
LAST_COMMON = Text(
    "The last value, {value} ({step}), is usual variation.",
    "La dernière valeur, {value} ({step}), relève de la variation habituelle.",
)
LAST_SPECIAL = Text(
    "The last value, {value} ({step}), is a special cause: {cause} ({meaning}).",
    "La dernière valeur, {value} ({step}), est une cause spéciale : {cause} ({meaning}).",
)
COUNTED = Text(
    "{special} of {points} {points:point|points} {special:is a special cause|are special causes}.",
    "{special} {special:point|points} sur {points} {special:est une cause spéciale|sont des causes spéciales}.",
)
PROVISIONAL = Text(
    f"Fewer than {MIN_POINTS} points: the limits are provisional.",
    f"Moins de {MIN_POINTS} points : limites provisoires.",
)
REBASED = Text("New limits since {day}: {text}.", "Nouvelles limites depuis le {day} : {text}.")
NEUTRAL = Text("special cause, high or low", "cause spéciale, haut ou bas")
LEGEND_LINES = Text(
    "Solid line: mean. Dashed lines: limits. Dotted line: target. Vertical line: a note, and new limits.",
    "Trait plein : moyenne. Tirets : limites. Pointillé : objectif. Trait vertical : note et nouvelles limites.",
)
