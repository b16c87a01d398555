"""After a change of mapping or department list it is known which events were read before, and what repairs it."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from patient_flow.dialects.mapping import parse_mappings
from patient_flow.monitoring.rules.mapping import describe, events_follow_mapping
from patient_flow.pipeline import silver, unaccepted
from patient_flow.pipeline.rebuild import rebuild
from patient_flow.pipeline.replay import replay
from patient_flow.pipeline.staleness import staleness
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import SECRET, Delivery, deliveries, event, receive, step_context

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

WARDS = '[[mapping]]\nname = "wards"\nmatch.ward = { exists = true }\nrename.department = "ward"\n'
SENT = deliveries([event(), event(visit_id="v2", department=None), event(visit_id="v3"), event(visit_id="v4")])
MAPPING, LIST = "source mapping", "department list"


def parser(departments: pl.DataFrame, text: str = "") -> ParserConfig:
    mappings = parse_mappings(text, "wards.toml") if text else None
    if mappings is None:
        return ParserConfig(departments, SECRET)
    return ParserConfig(departments, SECRET, mappings.interpreters, mapping_digest=mappings.digest)


def run(lake: Lake, reader: ParserConfig, received: list[Delivery]) -> float | int | str:
    """A micro-batch as far as quarantine; what silver's metadata says of former rows."""
    receive(lake, received)
    accepted = silver.accept_events(step_context(lake, reader))
    for step in (unaccepted.ignore_events, unaccepted.quarantine_events):
        step(step_context(lake, reader))
    return accepted.figures["read_before_change"]


def test_what_was_read_before_a_change_is_counted_until_a_command_reads_it_again(
    lake: Lake, departments: pl.DataFrame
) -> None:
    before, after = parser(departments), parser(departments, WARDS)
    assert run(lake, before, SENT[:2]) == 0
    assert staleness(lake, before).by_cause == {MAPPING: (0, 0), LIST: (0, 0)}
    assert staleness(lake, after).by_cause[MAPPING] == (1, 1), "known before the first run with it"
    assert run(lake, after, SENT[2:3]) == 1
    assert staleness(lake, after).by_cause[MAPPING] == (1, 1)
    replay(step_context(lake, after), reason="department_is_missing")
    assert staleness(lake, after).by_cause[MAPPING] == (1, 1), "others may be left in quarantine"
    replay(step_context(lake, after), reason=None)
    assert staleness(lake, after).by_cause[MAPPING] == (1, 0)
    listed = replace(after, departments=departments.filter(pl.col("department") != "ICU"))
    assert run(lake, listed, SENT[3:]) == 2
    assert staleness(lake, listed).by_cause == {MAPPING: (1, 0), LIST: (2, 1)}
    for _ in rebuild(step_context(lake, listed)):
        pass
    assert staleness(lake, listed).by_cause == {MAPPING: (0, 0), LIST: (0, 0)}
    assert staleness(lake, before).by_cause == {MAPPING: (3, 1), LIST: (3, 1)}


def test_the_check_names_the_command_for_each_kind_of_event(lake: Lake, departments: pl.DataFrame) -> None:
    before, after = parser(departments), parser(departments, WARDS)
    run(lake, before, SENT[:2])
    assert events_follow_mapping(staleness(lake, before)).is_ok
    found = events_follow_mapping(staleness(lake, after))
    assert not found.is_ok
    assert found.message == (
        "read with a former source mapping: 1 accepted event (`patient-flow rebuild`) and 1 quarantined event "
        "(`patient-flow replay-quarantine`)."
    )
    assert found.figures == {"accepted": 1, "quarantined": 1}
    assert list(describe(staleness(lake, before))) == []


def test_comments_and_layout_make_no_other_mapping_file_but_rows_of_a_second_file_do() -> None:
    lookup = WARDS + 'lookup.people = { file = "people.csv", key = "id", by = "patient_id" }\n'
    digests = [
        parse_mappings(text, "wards.toml", lambda _, rows=rows: rows).digest
        for text, rows in (
            (WARDS, []),
            ("# a comment\n" + WARDS.replace(" = ", "="), []),
            (WARDS.replace("ward", "unit"), []),
            (lookup, [{"id": "1", "sex": "F"}]),
            (lookup, [{"id": "1", "sex": "M"}]),
        )
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4
