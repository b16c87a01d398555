"""Events by quality rule."""

from __future__ import annotations

import polars as pl
from markupsafe import Markup

from patient_flow.contracts.measure_types import Text
from patient_flow.dashboard import charts
from patient_flow.dashboard.figures import QUALITY_TOTAL
from patient_flow.dashboard.panels.context import PanelContext
from patient_flow.dashboard.parts import Legend, Panel, Table

TITLE = Text("Data quality", "Qualité des données")
NOTE = Text(
    "{accepted}, {quarantined}. Events that arrived in the period, by rule they break; by hospital only.",
    "{accepted}, {quarantined}. Événements reçus dans la période, selon la règle enfreinte ; par hôpital seulement.",
)
_HIDDEN = Text(
    "Events are counted by hospital, not by department: not shown for your access.",
    "Les événements sont comptés par hôpital, non par service : hors de votre accès.",
)
_RULE = Text("Rule", "Règle")
_COUNTS = {
    "accepted": Text("Accepted", "Acceptés"),
    "flagged": Text("Flagged", "Signalés"),
    "quarantined": Text("Quarantined", "En quarantaine"),
}
_MAX_RULES = 10

c = pl.col


def build(page: PanelContext) -> Panel:
    """The panel; pending for a viewer who may not see whole hospitals."""
    locale, frame = page.locale, page.figures.quality
    columns = [page.column("rule", _RULE), *(page.column(key, text, "count") for key, text in _COUNTS.items())]
    if frame is None:
        return Panel("quality", page.say(TITLE), page.say(_HIDDEN), Table(columns, []), width="broad", pending=True)
    broken = frame.filter(c("rule") != QUALITY_TOTAL).sort(c("flagged") + c("quarantined"), "rule", descending=True)
    total = frame.filter(c("rule") == QUALITY_TOTAL)
    drawn = [
        charts.Bar(
            page.words.rule(row["rule"]),
            [(row["quarantined"], "strong"), (row["flagged"], "weak")],
            locale.number(row["flagged"] + row["quarantined"]),
        )
        for row in broken.head(_MAX_RULES).iter_rows(named=True)
    ]
    rows = [
        (page.words.rule(row["rule"]), row["accepted"], row["flagged"], row["quarantined"])
        for row in pl.concat([total, broken]).iter_rows(named=True)
    ]
    sums = {
        name: f"{page.say(_COUNTS[name])} {locale.number(int(total[name].sum()))}"
        for name in ("accepted", "quarantined")
    }
    return Panel(
        "quality",
        page.say(TITLE),
        page.say(NOTE, **sums),
        Table(columns, rows),
        charts.bars(drawn, page.say(TITLE)) if drawn else Markup(),
        [Legend("strong", page.say(_COUNTS["quarantined"])), Legend("weak", page.say(_COUNTS["flagged"]))],
        width="broad",
    )
