"""The rules file of nightly extracts: which rule is for which file and hospital, and mistakes with their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from patient_flow.dialects.extract_rules import parse_rules
from patient_flow.dialects.mapping_checks import MappingError
from patient_flow.transforms.reconciliation import rule_of

GUIDE = Path(__file__).parents[2] / "infra/docs/reconciling.md"

BROKEN = [
    ("", 1, "no rule: begin each one with a line [[rule]]"),
    ("wins = ['discharge']", 1, "wins belongs to a rule: put it below a line [[rule]]"),
    ("[rule]\nwins = 'discharge'", 1, "no rule: begin each one with a line [[rule]]"),
    ("[[rules]]\nwins = 'discharge'", 1, "unknown key 'rules' (did you mean 'rule'?)"),
    ("[[rule]]\n\nwin = ['discharge']", 3, "unknown key 'win' (did you mean 'wins'?)"),
    (
        "[[rule]]\nwins = ['discharges']",
        2,
        "'discharges' is nothing that an extract can win (did you mean 'discharge'?)",
    ),
    ("[[rule]]\nwins = [1]", 2, "1 is nothing that an extract can win: use admission, transfer, discharge"),
    ("[[rule]]\nhospitals = []", 2, "the list is empty: name at least one"),
    ("[[rule]]\ndepartments = [true]", 2, "departments must be a text, in quotes"),
    ("[[rule]]\nfiles = 3", 2, "files must be a text, in quotes"),
    ("[[rule]]\nmax_discharges_pct = '20 %'", 2, "must be a number from 0 to 100; it is '20 %'"),
    ("[[rule]]\nmax_discharges_pct = 200", 2, "must be a number from 0 to 100; it is 200"),
    ("[[rule]]\nfiles = wards.csv", 2, 'a text needs quotes: write files = "wards.csv"'),
    ("[[rule]]\nwins = ['discharge'\n", 2, "a list or table is not closed"),
    ("[[rule]]\n[[rule]]\nfiles = 'a*'", 2, "this one is never used: put it first"),
]


@pytest.mark.parametrize(("text", "line", "says"), BROKEN, ids=[each[2][:40] for each in BROKEN])
def test_a_broken_file_is_refused_with_line_and_remedy(text: str, line: int, says: str) -> None:
    with pytest.raises(MappingError) as refused:
        parse_rules(text, "rules.toml")
    assert str(refused.value).startswith(f"rules.toml, line {line}: ")
    assert says in str(refused.value)


def test_the_first_rule_for_file_and_hospital_counts() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
    rules = parse_rules(text, "rules.toml")
    wards = rule_of(rules, "wardlist-2026-11-29.csv", "3")
    assert wards.wins == {"admission", "transfer", "discharge", "confirmation"}
    assert wards.departments == ("icu", "surgery")
    for file, hospital in (("wardlist-2026-11-29.csv", "1"), ("export.ndjson", "3")):
        assert rule_of(rules, file, hospital).wins == {"confirmation"}
    assert rule_of((), "export.ndjson", "3").wins == frozenset()
    (numbered,) = parse_rules("[[rule]]\nhospitals = [3, 'H4']\nwins = 'discharge'", "rules.toml")
    assert [rule_of((numbered,), "a", hospital).wins for hospital in ("3", "H4", "5")] == [
        {"discharge"},
        {"discharge"},
        frozenset(),
    ]
