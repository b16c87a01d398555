"""A code version changes with the code that makes a table, and with nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from patient_flow.contracts import tables
from patient_flow.orchestration import versions


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
    return {table.path: versions.code_version(table) for table in tables.LAKE_TABLES}


def changed(code: Path, module: str, old: str, new: str) -> set[str]:
    """Tables whose version changes when ``old`` becomes ``new`` in a module."""
    before = all_versions()
    text = (code / module).read_text()
    assert old in text
    (code / module).write_text(text.replace(old, new, 1))
    after = all_versions()
    return {path for path in before if before[path] != after[path]}


def test_every_table_of_the_lake_has_one() -> None:
    assert set(versions.MADE_BY) == {table.path for table in tables.LAKE_TABLES}
    assert all(len(version) == 12 for version in all_versions().values())


def test_a_change_of_a_transform_changes_what_it_makes(code: Path) -> None:
    assert changed(code, "transforms/kpis.py", "wait_minutes", "weight_minutes") == {"gold/kpi_department_day"}


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
