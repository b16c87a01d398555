"""The texts of the page around its panels, and names that the data has, in English and French.

Each panel has its own texts beside it; the names of measures stand in ``contracts.measures``.
"""

from __future__ import annotations

from collections.abc import Mapping

_ENGLISH: Mapping[str, str] = {
    "title": "Patient flow",
    "skip": "Skip to the figures",
    "filters": "Filters",
    "hospital": "Hospital",
    "department": "Department",
    "gender": "Gender",
    "age": "Age",
    "period": "Period",
    "all_hospitals": "All hospitals",
    "all_departments": "All departments",
    "all_genders": "All genders",
    "all_ages": "All ages",
    "days_1": "Today",
    "days_7": "Last 7 days",
    "days_14": "Last 14 days",
    "days_28": "Last 28 days",
    "show": "Show",
    "reset": "Clear filters",
    "export": "Export CSV",
    "print": "Print",
    "trends": "Over time, any dates",
    "what_if": "What if",
    "language": "Français",
    "signed_in": "Signed in: {name}",
    "years": "{band} years",
    "table": "Table",
    "search": "Find department or hospital",
    "print_sheet": "Print the meeting’s sheet",
    "fold": "Show or hide the departments of {name}",
    "scroll_hint": "Scroll sideways for more columns →",
    "now": "now",
    "today": "today",
    "jumps": "Panels of the bed meeting",
    "mean_days": "mean of {days} days",
    "mean_today": "mean of today",
    "back": "Back to the board",
    "patients_count": "{count} {count:patient|patients}: {where}",
    "patients_note": (
        "Pseudonyms, no names. This view is in the access log; reads in the database or in Power BI are in the logs of "
        "those services."
    ),
    "patients_more": "{count} more {count:is|are} in the CSV.",
    "patients_none": "Nobody.",
    "headline_classes": "inpatient, critical care and maternity",
    "columns_export": "CSV",
    # freshness
    "fresh": "Up to date",
    "behind": "Behind",
    "stale": "Stale",
    "empty": "No event from the hub yet",
    "unreachable": "Unreachable",
    "freshness": "newest event {age} old",
    "freshness_load": "loaded {lag} after it reached the hub",
    "times_in": "Times: {zone}",
    "history_since": "history from {day}, {done} of {days} days",
    "as_of": "As of {moment}",
    "stale_banner": "No event has arrived for {age}. “Now” assumes that nothing has happened since.",
    "behind_banner": "The newest event is {age} old; figures of the moment may lag.",
    "unreachable_banner": "The warehouse cannot be reached. These are the figures of {moment}.",
    "silent_banner": "Hospitals that send nothing any more: {hospitals}. Their figures are those of then.",
    "nothing_new_banner": "Nothing new has come from these hospitals in the last {days} days.",
    "figures_changed": "Figures follow other rules since {moment}: {figures}. Figures noted before that differ.",
    "lost_banner": "This page has had no answer since {moment}. Its figures are those of then.",
    "empty_title": "The warehouse is empty",
    "empty_text": "No load has reached it yet. This page fills by itself as soon as the first micro-batch is loaded.",
    "unreachable_title": "The warehouse cannot be reached",
    "unreachable_text": "Nothing has been read from it so far. This page tries again by itself.",
    "reading_title": "Reading the warehouse",
    "reading_text": "These days are being read for the first time; the figures appear as soon as they are there.",
    "nothing_title": "Nothing to show",
    "nothing_text": "No department matches these filters, or you may not see it.",
    "aggregates_title": "Closed days and months",
    "aggregates_text": (
        "Counts below {threshold} are hidden (–), and as many others as it takes so that no one can compute them. "
        "A day appears on the second morning after it and never changes. An empty department is the whole hospital."
    ),
    "aggregates_days": "Days",
    "aggregates_months": "Months: sums of the published days",
    "aggregates_empty": "Nothing has been published yet.",
    "refused_401": "Please sign in",
    "refused_403": "You may not see this page",
    "refused_502": "The warehouse cannot be reached",
    "refused_502_text": "Nothing could be read from it. Try again in a moment.",
    "refused_503": "Not available at the moment",
    "refused_text": "Ask the person who runs this dashboard.",
    "refused_503_text": "The access log cannot be written, and nothing leaves without its line. Try again in a moment.",
    "key_figures": "Key figures",
    "longest": "Longest now",
    "no_rows": "Nothing in this period.",
}

_FRENCH: Mapping[str, str] = {
    "title": "Flux des patients",
    "skip": "Aller aux chiffres",
    "filters": "Filtres",
    "hospital": "Hôpital",
    "department": "Service",
    "gender": "Sexe",
    "age": "Âge",
    "period": "Période",
    "all_hospitals": "Tous les hôpitaux",
    "all_departments": "Tous les services",
    "all_genders": "Tous",
    "all_ages": "Tous les âges",
    "days_1": "Aujourd’hui",
    "days_7": "7 derniers jours",
    "days_14": "14 derniers jours",
    "days_28": "28 derniers jours",
    "show": "Afficher",
    "reset": "Effacer les filtres",
    "export": "Exporter en CSV",
    "print": "Imprimer",
    "trends": "Évolution, dates au choix",
    "what_if": "Et si",
    "language": "English",
    "signed_in": "Connexion : {name}",
    "years": "{band} ans",
    "table": "Tableau",
    "search": "Chercher un service ou un hôpital",
    "print_sheet": "Imprimer la feuille de réunion",
    "fold": "Afficher ou masquer les services de {name}",
    "scroll_hint": "Faire défiler pour voir d’autres colonnes →",
    "now": "maintenant",
    "today": "aujourd’hui",
    "jumps": "Tableaux de la réunion des lits",
    "mean_days": "moyenne sur {days} jours",
    "mean_today": "moyenne du jour",
    "back": "Retour au tableau",
    "patients_count": "{count} {count:patient|patients} : {where}",
    "patients_note": (
        "Pseudonymes, sans noms. Cette consultation figure au journal des accès ; les lectures dans la base ou dans "
        "Power BI figurent aux journaux de ces services."
    ),
    "patients_more": "{count} {count:autre figure|autres figurent} dans le CSV.",
    "patients_none": "Personne.",
    "headline_classes": "hospitalisation, soins critiques et maternité",
    "columns_export": "CSV",
    "fresh": "À jour",
    "behind": "En retard",
    "stale": "Périmé",
    "empty": "Pas encore d'événement du hub",
    "unreachable": "Injoignable",
    "freshness": "dernier événement il y a {age}",
    "freshness_load": "chargé {lag} après son arrivée",
    "times_in": "Heures : {zone}",
    "history_since": "historique depuis le {day}, {done} {done:jour|jours} sur {days}",
    "as_of": "Situation au {moment}",
    "stale_banner": "Aucun événement reçu depuis {age}. « Maintenant » suppose que rien ne s’est passé depuis.",
    "behind_banner": "Le dernier événement date de {age} ; les chiffres du moment peuvent être en retard.",
    "unreachable_banner": "L’entrepôt de données est injoignable. Voici les chiffres du {moment}.",
    "silent_banner": "Hôpitaux qui n’envoient plus rien : {hospitals}. Leurs chiffres datent d’alors.",
    "nothing_new_banner": "Rien de nouveau n’est venu de ces hôpitaux dans les {days} derniers jours.",
    "figures_changed": "Chiffres suivant d’autres règles depuis le {moment} : {figures}. Ceux relevés avant diffèrent.",
    "lost_banner": "Cette page est sans réponse depuis {moment}. Ses chiffres datent de ce moment.",
    "empty_title": "L’entrepôt de données est vide",
    "empty_text": "Aucun chargement ne l’a encore atteint. Cette page se remplira dès le premier micro-lot.",
    "unreachable_title": "L’entrepôt de données est injoignable",
    "unreachable_text": "Rien n’a encore pu être lu. Cette page réessaie d’elle-même.",
    "reading_title": "Lecture en cours",
    "reading_text": "Ces jours sont lus pour la première fois ; les chiffres apparaissent dès qu’ils sont là.",
    "nothing_title": "Rien à afficher",
    "nothing_text": "Aucun service ne correspond à ces filtres, ou vous n’y avez pas accès.",
    "aggregates_title": "Jours et mois clos",
    "aggregates_text": (
        "Les effectifs inférieurs à {threshold} sont masqués (–), et autant d’autres qu’il faut pour que personne ne "
        "puisse les calculer. Un jour paraît le surlendemain matin et ne change plus. Un service vide désigne tout "
        "l’hôpital."
    ),
    "aggregates_days": "Jours",
    "aggregates_months": "Mois : sommes des jours publiés",
    "aggregates_empty": "Rien n’a encore été publié.",
    "refused_401": "Veuillez vous connecter",
    "refused_403": "Vous n’avez pas accès à cette page",
    "refused_502": "L’entrepôt de données ne répond pas",
    "refused_502_text": "Rien n’a pu y être lu. Réessayez dans un instant.",
    "refused_503": "Momentanément indisponible",
    "refused_text": "Adressez-vous à la personne responsable de ce tableau de bord.",
    "refused_503_text": (
        "Le journal des accès ne peut pas être écrit, et rien ne sort sans y être noté. Réessayez dans un instant."
    ),
    "key_figures": "Chiffres clés",
    "longest": "Les plus longs",
    "no_rows": "Rien dans cette période.",
}

_ENGLISH_NAMES: Mapping[str, str] = {
    "Female": "Women",
    "Male": "Men",
    "Other": "Other",
    "Unknown": "Unknown",
    "Admission": "Admission",
}

_FRENCH_NAMES: Mapping[str, str] = {
    "Female": "Femmes",
    "Male": "Hommes",
    "Other": "Autre",
    "Unknown": "Inconnu",
    "Admission": "Admission",
    # departments of the shipped list; others keep the name that the data has
    "Cardiology": "Cardiologie",
    "Emergency": "Urgences",
    "ICU": "Réanimation",
    "Maternity": "Maternité",
    "Oncology": "Oncologie",
    "Pediatrics": "Pédiatrie",
    "Surgery": "Chirurgie",
    # quality rules
    "all": "tous les événements",
    "body_is_not_a_json_object": "corps illisible",
    "message_type_is_unsupported": "type de message non pris en charge",
    "schema_version_is_unsupported": "version de schéma non prise en charge",
    "event_type_is_unknown": "type d’événement inconnu",
    "patient_is_missing": "patient manquant",
    "hospital_is_missing": "hôpital manquant",
    "visit_is_missing": "venue manquante",
    "department_is_missing": "service manquant",
    "event_time_is_unusable": "date de l’événement inutilisable",
    "admission_time_is_unusable": "date d’admission inutilisable",
    "event_is_in_the_future": "événement dans le futur",
    "arrival_is_in_the_future": "arrivée dans le futur",
    "triage_is_in_the_future": "tri dans le futur",
    "admission_is_in_the_future": "admission dans le futur",
    "discharge_is_in_the_future": "sortie dans le futur",
    "discharge_precedes_admission": "sortie avant l’admission",
    "event_is_a_duplicate": "événement en double",
    "event_id_is_reused": "identifiant réutilisé",
    "rules_have_changed": "règles modifiées depuis",
    "age_is_out_of_range": "âge hors limites",
    "gender_is_unknown": "sexe inconnu",
    "wait_is_out_of_range": "attente hors limites",
    "department_is_not_listed": "service hors référentiel",
    "discharge_status_is_unknown": "mode de sortie inconnu",
    "event_id_is_unusable": "identifiant inutilisable",
    "bed_is_unusable": "lit inutilisable",
    "optional_time_is_unusable": "date facultative inutilisable",
    "no_mapping_matches": "aucune correspondance applicable",
    "merged_patient_is_missing": "patient fusionné manquant",
    "time_is_too_old": "date antérieure à 1990",
    "visit_class_is_unknown": "classe de venue inconnue",
    "admission_type_is_unknown": "type d’admission inconnu",
    "assigner_is_unusable": "autorité d’affectation inutilisable",
    "optional_time_is_in_the_future": "date facultative dans le futur",
    "stays_are_unusable": "séjours inutilisables",
    "stay_is_in_the_future": "séjour dans le futur",
    "time_is_estimated": "date estimée",
    "visit_is_an_account": "numéro de dossier au lieu de la venue",
}

TEXTS: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "fr": _FRENCH}
NAMES: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH_NAMES, "fr": _FRENCH_NAMES}
"""Names that the data has, in the reader's language; others stay as they are."""


class Words:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = TEXTS[language]
        self._names = NAMES[language]

    def __call__(self, key: str, **values: str) -> str:
        """The text of ``key`` with ``values`` put in."""
        return self._texts[key].format(**values)

    def name(self, value: str) -> str:
        """A name from the data, translated if a translation exists."""
        return self._names.get(value, value)

    def rule(self, name: str) -> str:
        """A quality rule in plain words."""
        return self._names.get(name, "all events" if name == "all" else name.replace("_", " "))
