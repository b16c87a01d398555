"""The report as PBIR files: pages and visuals of ``pages``, the theme, and the order of it all."""

from __future__ import annotations

import json

from patient_flow.powerbi.layout import HEIGHT, WIDTH, Page
from patient_flow.powerbi.pages import PAGES
from patient_flow.powerbi.visuals import Json

_SCHEMAS = "https://developer.microsoft.com/json-schemas/fabric/item/report"
_THEME_FILE = "PatientFlow.json"
_AT_IMPORT = {"visual": "2.0.0", "report": "3.0.0", "page": "2.0.0"}

THEME: Json = {
    "name": _THEME_FILE,
    # Distinguishable without red and green, and in greyscale print.
    "dataColors": ["#1F5FA8", "#E08A1E", "#4FA3A5", "#8A4F9E", "#C8553D", "#6B7A8F"],
    "background": "#FFFFFF",
    "foreground": "#1B1F27",
    "tableAccent": "#1F5FA8",
    "good": "#2E7D4F",
    "neutral": "#E0A31E",
    "bad": "#C8553D",
}


def files() -> dict[str, str]:
    """Files of the report's folder but for those that every item has: relative path → text."""
    written: dict[str, Json] = {
        f"StaticResources/RegisteredResources/{_THEME_FILE}": THEME,
        "definition/version.json": {
            "$schema": f"{_SCHEMAS}/definition/versionMetadata/1.0.0/schema.json",
            "version": "2.0.0",
        },
        "definition/report.json": _report(),
        "definition/pages/pages.json": {
            "$schema": f"{_SCHEMAS}/definition/pagesMetadata/1.0.0/schema.json",
            "pageOrder": [page.name for page in PAGES],
            "activePageName": PAGES[0].name,
        },
    }
    for page in PAGES:
        folder = f"definition/pages/{page.name}"
        written[f"{folder}/page.json"] = _page(page)
        for order, visual in enumerate(page.visuals):
            written[f"{folder}/visuals/{visual.name}/visual.json"] = visual.written(order)
    return {path: as_json(contents) for path, contents in written.items()}


def as_json(contents: Json) -> str:
    """``contents`` as the files have them."""
    return json.dumps(contents, indent=2, ensure_ascii=False) + "\n"


def _report() -> Json:
    return {
        "$schema": f"{_SCHEMAS}/definition/report/3.0.0/schema.json",
        "themeCollection": {
            # No base theme: one of Desktop's is not among these files, and ours states every colour that it uses.
            "customTheme": {"name": _THEME_FILE, "reportVersionAtImport": _AT_IMPORT, "type": "RegisteredResources"},
        },
        "resourcePackages": [
            {
                "name": "RegisteredResources",
                "type": "RegisteredResources",
                "items": [{"name": _THEME_FILE, "path": _THEME_FILE, "type": "CustomTheme"}],
            }
        ],
        "settings": {"useStylableVisualContainerHeader": True, "useEnhancedTooltips": True},
    }


def _page(page: Page) -> Json:
    return {
        "$schema": f"{_SCHEMAS}/definition/page/2.0.0/schema.json",
        "name": page.name,
        "displayName": page.title,
        "displayOption": "FitToPage",
        "height": HEIGHT,
        "width": WIDTH,
    }
