"""Bodies that hold several events, from bronze on: each event has its outcome, whatever the mapping says later."""

from __future__ import annotations

import gzip
import json

import polars as pl
import pytest

from patient_flow.contracts.tables import EVENT_COORDINATES, IGNORED, QUARANTINE, SILVER_EVENTS
from patient_flow.dialects import hl7
from patient_flow.dialects.mapping import parse_mappings
from patient_flow.monitoring.rules.reconciliation import counts_reconcile
from patient_flow.pipeline import silver, unaccepted
from patient_flow.pipeline.inspection import received_events, reconciliation_counts
from patient_flow.pipeline.replay import replay
from patient_flow.stores.lake.catalog import Lake
from patient_flow.transforms.read import ParserConfig
from patient_flow_tests.builders import SECRET, contents, deliveries, event, receive, step_context
from patient_flow_tests.dialects.builders import adt
from patient_flow_tests.pipeline.test_unaccepted import assert_equal

pytestmark = pytest.mark.embedded_only("what the steps decide; the scenarios of invariance run them on both stacks")

FIRST, SECOND = event(visit_id="v1"), event(visit_id="v2")
INCOMPLETE = event(visit_id="v3", department=None)


@pytest.fixture
def nothing(departments: pl.DataFrame) -> ParserConfig:
    """Nothing is unwrapped."""
    return ParserConfig(departments, SECRET, formats=(hl7.interpret,))


@pytest.fixture
def arrays(departments: pl.DataFrame) -> ParserConfig:
    """Arrays are unwrapped, but not what is in them."""
    return unwrapping(departments, 'unwrap = ["array", "hl7_batch"]')


@pytest.fixture
def rows(departments: pl.DataFrame) -> ParserConfig:
    """What lies in the items of arrays is unwrapped too."""
    return unwrapping(departments, 'unwrap = ["array", "gzip", { path = "rows" }]')


def unwrapping(departments: pl.DataFrame, text: str) -> ParserConfig:
    return ParserConfig(
        departments, SECRET, formats=(hl7.interpret,), unwrap=parse_mappings(text, "unwrap.toml").unwrap
    )


def run(lake: Lake, parser: ParserConfig) -> None:
    for step in (silver.accept_events, unaccepted.ignore_events, unaccepted.quarantine_events):
        step(step_context(lake, parser))


def assert_reconciled(lake: Lake, events: int) -> None:
    assert counts_reconcile(reconciliation_counts(lake, everything=True)).figures["unaccounted"] == 0
    assert received_events(lake) == events
    places = pl.concat(
        [contents(lake, table).select(EVENT_COORDINATES) for table in (SILVER_EVENTS, IGNORED, QUARANTINE)]
    )
    assert (places.height, places.n_unique()) == (events, events)


def places(lake: Lake) -> dict[str, list[int]]:
    tables = {"accepted": SILVER_EVENTS, "ignored": IGNORED, "quarantined": QUARANTINE}
    return {name: contents(lake, table)["part"].to_list() for name, table in tables.items()}


def test_each_event_of_a_body_is_accounted_for_and_a_rejected_one_keeps_its_own_bytes(
    lake: Lake, arrays: ParserConfig
) -> None:
    messages = adt("A01") + adt("A01", msh={9: "ORU^R01", 10: "M-2"}) + adt("A05", msh={10: "M-3"})
    messages = messages.replace(b"20261119", b"20260320")
    receive(lake, [[FIRST, INCOMPLETE, SECOND, FIRST], [], SECOND, b"FHS|^~\\&|X\r" + messages + b"FTS|1\r"])
    run(lake, arrays)
    assert contents(lake, IGNORED).select("name", "parts").rows() == [("body_is_empty", 1), ("message_is_not_adt", 3)]
    rejected = contents(lake, QUARANTINE).select("reasons", "body").rows()
    assert [reasons for reasons, _ in rejected] == [
        ["department_is_missing"],
        ["event_is_a_duplicate"],
        ["event_is_a_duplicate"],
        ["message_type_is_unsupported"],
    ]
    assert json.loads(rejected[0][1]) == INCOMPLETE
    assert rejected[3][1].startswith(b"MSH")
    assert b"ADT^A05" in rejected[3][1]
    assert_reconciled(lake, 9)


def test_a_replay_takes_apart_what_was_rejected_as_one(
    lakes: object, nothing: ParserConfig, arrays: ParserConfig, rows: ParserConfig
) -> None:
    """And once more, when another mapping finds more events in the same bodies, of which none was accepted."""
    wrapped = [INCOMPLETE, {"rows": [FIRST, SECOND, INCOMPLETE]}, adt("A01", msh={9: "ORU^R01"}).decode()]
    with lakes(2) as (lake, alone):  # type: ignore[operator]
        receive(lake, [wrapped, SECOND])
        run(lake, nothing)
        for number, parser in enumerate((arrays, rows), start=1):
            replay(step_context(lake, parser), reason=None)
            run(lake, parser)
            assert_reconciled(lake, (4, 6)[number - 1])
        receive(alone, [wrapped, SECOND])
        run(alone, rows)
        assert_equal(lake, alone)


def test_a_body_of_which_an_event_was_accepted_keeps_its_number_of_parts_until_a_rebuild(
    lake: Lake, arrays: ParserConfig, rows: ParserConfig
) -> None:
    """An earlier event takes an identity from it meanwhile, and a replay judges what it holds in quarantine."""
    late, *others = deliveries([{"rows": []}, [FIRST, INCOMPLETE, {"rows": [SECOND, event(visit_id="v4")]}, SECOND]])
    receive(lake, others)
    run(lake, arrays)
    before = contents(lake, QUARANTINE)
    assert places(lake) == {"accepted": [0, 3], "ignored": [], "quarantined": [1, 2]}
    replay(step_context(lake, rows), reason=None)
    run(lake, rows)
    assert contents(lake, QUARANTINE).equals(before)
    receive(lake, [late._replace(body=SECOND)])
    run(lake, rows)
    assert places(lake) == {"accepted": [0, 0], "ignored": [], "quarantined": [1, 2, 3]}
    assert contents(lake, QUARANTINE)["reasons"].to_list() == [*before["reasons"].to_list(), ["rules_have_changed"]]
    assert_reconciled(lake, 5)


def test_a_replay_that_dies_after_silver_is_completed_by_the_next_run(
    lake: Lake, nothing: ParserConfig, arrays: ParserConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive(lake, [[INCOMPLETE, FIRST, SECOND]])
    run(lake, nothing)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(unaccepted, "restate", die)
        with pytest.raises(KeyboardInterrupt):
            replay(step_context(lake, arrays), reason=None)
    run(lake, arrays)
    assert places(lake) == {"accepted": [1, 2], "ignored": [], "quarantined": [0]}
    assert contents(lake, QUARANTINE).select("parts", "reasons").rows() == [(3, ["department_is_missing"])]
    assert_reconciled(lake, 3)


def test_a_wrapped_body_is_never_restored_from_one_of_its_events(lake: Lake, rows: ParserConfig) -> None:
    packed = gzip.compress(json.dumps([INCOMPLETE]).encode())
    receive(lake, [packed])
    run(lake, rows)
    assert contents(lake, QUARANTINE)["body"].to_list() == [packed], "an event that came alone keeps what was received"
