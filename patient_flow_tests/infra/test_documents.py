"""Generated pages are current, links lead somewhere, and the pages say what nobody has tried."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from patient_flow.contracts import rules

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "infra" / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", ROOT / "infra" / "README.md", *DOCS.rglob("*.md")]
)
HAND_WRITTEN = [
    "architecture",
    "cluster",
    "cost",
    "deploy",
    "disaster-recovery",
    "resume-fr",
    "threat-model",
    "upgrade",
]


def _generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    pages: dict[str, str] = generate.pages()
    return pages


@pytest.mark.parametrize("page", ["data-model.md", "quality-rules.md", "measures.md"])
def test_generated_pages_are_current(page: str) -> None:
    assert (DOCS / page).read_text() == _generated()[page], "run: uv run python infra/docs/generate.py"


def test_every_rule_is_on_its_page() -> None:
    page = _generated()["quality-rules.md"]
    assert all(f"`{rule.name}` | {rule.meaning}" in page for rule in rules.RULES)


def test_the_diagram_joins_every_fact_to_its_dimensions() -> None:
    diagram = _generated()["data-model.md"]
    for relation in (
        "DimPatient ||--o{ FactPatientFlow : patient_key",
        "DimDepartment ||--o{ FactPatientFlow : department_key",
        "DimDepartment ||--o{ FactPatientFlow : from_department_key",
        "DimTime ||--o{ FactPatientFlow : admission_time_key",
        "DimDepartment ||--o{ FactBedCensus : department_key",
        "DimDepartment ||--o{ KpiDepartmentDay : department_key",
    ):
        assert relation in diagram


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", HAND_WRITTEN)
def test_pages_say_what_was_never_tried(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text().casefold()
    assert re.search(r"never (?:been )?(?:tried|deployed|run)|jamais|not verified", text)


def test_every_file_that_the_contributor_guide_names_exists() -> None:
    guide = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`([a-z_./]+\.(?:py|md|toml|j2))`", guide))
    assert len(named) > 20
    assert {path for path in named if not any((ROOT / base / path).exists() for base in ("", "patient_flow"))} == set()
