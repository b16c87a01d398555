"""A code version changes with the code that makes a table, and with nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow.contracts import tables
from patient_flow.orchestration import versions
from patient_flow.pipeline import graph
from patient_flow.pipeline.graph import Step


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the package's source that a test may change."""
    package = Path(versions.__file__).parents[1]
    for module in package.rglob("*.py"):
        copy = tmp_path / module.relative_to(package)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(module.read_text())

    def place(module: str) -> Path | None:
        found = tmp_path / f"{module.replace('.', '/')}.py"
        return found if found.exists() else None

    monkeypatch.setattr(versions, "_place", place)
    forget()
    yield tmp_path
    forget()


def forget() -> None:
    versions.fingerprint.cache_clear()
    versions._read.cache_clear()


def all_versions() -> dict[str, str]:
    forget()
    return {step.table.path: versions.code_version(step) for step in graph.ALL_STEPS}


def changed(code: Path, module: str, old: str, new: str) -> set[str]:
    """Tables whose version changes when ``old`` becomes ``new`` in a module."""
    before = all_versions()
    text = (code / module).read_text()
    assert old in text
    (code / module).write_text(text.replace(old, new, 1))
    after = all_versions()
    return {path for path in before if before[path] != after[path]}


def test_every_table_of_the_lake_has_one() -> None:
    assert set(all_versions()) == {table.path for table in tables.LAKE_TABLES}
    assert all(len(version) == 12 for version in all_versions().values())


def test_a_change_of_a_transform_changes_what_it_makes(code: Path) -> None:
    assert changed(code, "transforms/kpis.py", "expected_los_hours", "expected_hours") == {"gold/kpi_department_day"}


@pytest.mark.parametrize("step", graph.ALL_STEPS, ids=lambda step: step.table.path)
def test_the_module_of_the_step_that_makes_a_table_counts(step: Step) -> None:
    assert step.modules[0].startswith("pipeline.")
    assert step.modules[0] == step.run.__module__.removeprefix("patient_flow.")


def test_a_change_of_a_step_changes_what_its_module_makes_and_nothing_else(code: Path) -> None:
    assert changed(code, "pipeline/flow.py", "seen + clusters.folded.visits", "seen - clusters.folded.visits") == {
        "gold/fact_ed_attendance",
        "gold/fact_patient_flow",
    }
    assert changed(code, "pipeline/dimensions.py", "not mentioned and is_complete", "not mentioned or is_complete") == {
        "gold/dim_time",
        "gold/dim_department",
        "gold/dim_patient",
    }


STEPS = sorted({step.modules[0] for step in graph.ALL_STEPS})


@pytest.mark.parametrize("step", STEPS)
def test_a_transform_that_a_step_imports_counts_for_a_table_of_it(code: Path, step: str) -> None:
    text = (code / f"{step.replace('.', '/')}.py").read_text()
    imported = set(re.findall(r"^from patient_flow\.transforms\.(\w+) import", text, re.MULTILINE))
    for names in re.findall(r"^from patient_flow\.transforms import (.+)$", text, re.MULTILINE):
        imported |= set(names.split(", "))
    made = {made.table.path for made in graph.ALL_STEPS if step in made.modules}
    for name in sorted(imported):
        assert changed(code, f"transforms/{name}.py", "\nimport polars as pl\n", "\nimport polars\n") & made, name


def test_a_change_of_what_transforms_share_changes_all_that_use_it(code: Path) -> None:
    found = changed(code, "transforms/keys.py", "digest_size=8", "digest_size=7")
    assert {"silver/patient_events", "gold/dim_patient", "gold/fact_patient_flow"} <= found
    assert "bronze/patient_events" not in found


def test_comments_docstrings_and_layout_change_nothing(code: Path) -> None:
    text = (code / "transforms/kpis.py").read_text()
    docstring = text.split('"""')[1]
    assert changed(code, "transforms/kpis.py", docstring, "Something else.") == set()
    assert changed(code, "transforms/kpis.py", "\nc = pl.col\n", "\n# a column\n\nc = pl.col\n") == set()


def test_a_module_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"transforms\.nothing"):
        versions.fingerprint(("transforms.nothing",))
