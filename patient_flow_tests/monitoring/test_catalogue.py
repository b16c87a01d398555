"""The catalogue: what an operator reads of a rule, and that nothing is declared twice."""

from __future__ import annotations

import pytest

from patient_flow.monitoring import catalogue
from patient_flow.monitoring.catalogue import ALERTS, CHECKS, RULES
from patient_flow.monitoring.finding import Severity, combine, error, ok, warning
from patient_flow.monitoring.rule import Audience, Cadence, Rule


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule.name)
def test_an_alert_says_what_to_do_and_not_only_where_to_read(rule: Rule) -> None:
    assert rule.action.endswith(".")
    assert "runbook" not in rule.action


@pytest.mark.parametrize("rule", CHECKS, ids=lambda rule: rule.name)
def test_a_finding_names_the_remedy_and_its_runbook_page(rule: Rule) -> None:
    described = rule.describe(warning("Something is odd."))
    assert described == f"Something is odd. {rule.action} See infra/docs/runbook/{rule.name}.md."
    assert rule.describe(ok("All is well.")) == "All is well."
    assert rule.compares.endswith(".")
    assert rule.action.endswith(".")


def test_names_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_every_rule_declared_in_the_catalogue_is_a_check_or_an_alert() -> None:
    declared = {rule.name for rule in vars(catalogue).values() if isinstance(rule, Rule)}
    assert declared == {rule.name for rule in RULES}
    assert not {rule.name for rule in CHECKS} & {rule.name for rule in ALERTS}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_when_it_runs_and_a_blocking_one_can_find_an_error(rule: Rule) -> None:
    assert rule.cadences
    assert (Cadence.WATCH in rule.cadences) == (rule in ALERTS)
    assert not rule.blocking or (rule.severity is Severity.ERROR and Cadence.BATCH in rule.cadences)
    assert rule.severity in {Severity.WARNING, Severity.ERROR}


def test_full_departments_and_delays_are_for_bed_management() -> None:
    assert [rule.name for rule in RULES if rule.audience is Audience.BED_MANAGEMENT] == [
        *("occupancy_high", "discharges_delayed", "beds_full_ahead")
    ]


def test_an_error_is_a_critical_alert() -> None:
    assert [severity.of_alert for severity in (Severity.WARNING, Severity.ERROR)] == [
        Severity.WARNING,
        Severity.CRITICAL,
    ]


def test_findings_of_several_tables_become_one_that_names_the_failures() -> None:
    right, wrong = ok("Every key is unique.", {"duplicates": 0}), error("2 rows are wrong.", {"duplicates": 2})
    assert combine({"a": right, "b": right}).is_ok
    finding = combine({"gold/a": right, "gold/b": wrong, "gold/c": warning("Hm.")})
    assert finding.is_error
    assert finding.message == "gold/b: 2 rows are wrong. gold/c: Hm."
    assert [row["table"] for row in finding.rows] == ["gold/a", "gold/b", "gold/c"]
    assert not combine({"a": right, "c": warning("Hm.")}).is_error
