"""What an operator reads of a check."""

from __future__ import annotations

import pytest

from patient_flow.health.catalogue import ALL_CHECKS, Check
from patient_flow.health.findings import combined, fine, grave, warning


@pytest.mark.parametrize("check", ALL_CHECKS, ids=lambda check: check.name)
def test_a_finding_says_what_to_do_and_where_to_read_on(check: Check) -> None:
    said = check.said(warning("Something is odd."))
    assert said == f"Something is odd. {check.todo} See infra/docs/runbook/{check.name}.md."
    assert check.said(fine("All is well.")) == "All is well."
    assert check.meaning.endswith(".")
    assert check.todo.endswith(".")


def test_names_are_unique() -> None:
    assert len({check.name for check in ALL_CHECKS}) == len(ALL_CHECKS)


def test_findings_of_several_tables_become_one_that_names_the_broken() -> None:
    right, wrong = fine("Every key is there once.", {"twice": 0}), grave("2 rows are wrong.", {"twice": 2})
    assert combined({"a": right, "b": right}).is_fine
    finding = combined({"gold/a": right, "gold/b": wrong, "gold/c": warning("Hm.")})
    assert finding.is_grave
    assert finding.sentence == "gold/b: 2 rows are wrong. gold/c: Hm."
    assert [row["table"] for row in finding.rows] == ["gold/a", "gold/b", "gold/c"]
    assert not combined({"a": right, "c": warning("Hm.")}).is_grave
