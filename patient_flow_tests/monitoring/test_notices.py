"""Notices survive the way through JSON; text that is no notice is none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from patient_flow.monitoring.notices import (
    EventsExpired,
    EventsRemaining,
    HubAdopted,
    HubRecreated,
    Notice,
    PartitionAdded,
    ReadInterrupted,
    decode,
    describe,
    encode,
)

NOTICES: tuple[Notice, ...] = (
    HubAdopted("patient-flow", "h.example"),
    HubRecreated("patient-flow", datetime(2026, 11, 20, tzinfo=UTC)),
    PartitionAdded("4"),
    EventsExpired("1", 12, before_first_read=True),
    ReadInterrupted("partition 4 is newer"),
    EventsRemaining(7),
)


def test_notices_are_the_same_after_json() -> None:
    assert decode(encode(NOTICES)) == NOTICES
    assert decode(encode([])) == ()


@pytest.mark.parametrize("text", ["", "partition 4 is new; partition 5 is new", "{}", "[1]", '[{"kind": "later"}]'])
def test_text_of_another_version_holds_no_notice(text: str) -> None:
    assert decode(text) == ()


def test_a_kind_that_this_version_does_not_know_hides_no_other() -> None:
    assert decode('[{"kind": "later"}, {"kind": "partition_added", "partition": "4"}]') == (PartitionAdded("4"),)


def test_every_notice_has_its_own_sentence() -> None:
    sentences = [describe(notice) for notice in NOTICES]
    assert len(set(sentences)) == len(NOTICES)
    assert sentences[3] == "partition 1: retention deleted 12 events before the first read"
    assert describe(EventsExpired("1", 1, False)) == "partition 1: retention deleted 1 event before it could be read"
    assert describe(EventsRemaining(1)) == "1 event remains for the next micro-batch"
