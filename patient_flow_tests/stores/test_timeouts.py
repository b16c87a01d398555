"""A call comes back in time, with what it found or without, and one that hangs has no followers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from patient_flow.stores import timeouts
from patient_flow.stores.timeouts import CallTimedOut, call_with_timeout


class Silent:
    """A system that answers when it is released."""

    def __init__(self) -> None:
        self.name = uuid.uuid4()
        self.released = threading.Event()
        self.asked = 0

    def ask(self) -> str:
        self.asked += 1
        self.released.wait()
        return "here I am"


@pytest.fixture
def silent() -> Iterator[Silent]:
    system = Silent()
    yield system
    system.released.set()


def test_what_comes_in_time_is_returned_and_what_is_raised_is_raised() -> None:
    assert call_with_timeout(5, "one", lambda: 7) == 7
    with pytest.raises(KeyError):
        call_with_timeout(5, "one", lambda: {}["a"])


def test_a_call_that_hangs_is_given_up_and_no_second_one_is_made(silent: Silent) -> None:
    with pytest.raises(CallTimedOut):
        call_with_timeout(0.1, silent.name, silent.ask)
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(CallTimedOut):
            call_with_timeout(5, silent.name, silent.ask)
    assert time.monotonic() - began < 1
    assert silent.asked == 1
    assert call_with_timeout(5, "another", lambda: 7) == 7


def test_two_calls_at_once_are_both_answered(silent: Silent) -> None:
    threading.Timer(0.2, silent.released.set).start()
    answers: list[str] = []
    other = threading.Thread(target=lambda: answers.append(call_with_timeout(5, silent.name, silent.ask)))
    other.start()
    answers.append(call_with_timeout(5, silent.name, silent.ask))
    other.join()
    assert answers == ["here I am"] * 2


def test_after_a_call_that_hung_ended_the_next_one_is_made(silent: Silent) -> None:
    with pytest.raises(CallTimedOut):
        call_with_timeout(0.05, silent.name, silent.ask)
    silent.released.set()
    time.sleep(0.1)
    assert call_with_timeout(5, silent.name, silent.ask) == "here I am"


def test_a_call_that_hangs_does_not_block_later_calls(silent: Silent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "ABANDONED_SECONDS", 0)
    with pytest.raises(CallTimedOut):
        call_with_timeout(0.05, silent.name, silent.ask)
    assert call_with_timeout(5, silent.name, lambda: 7) == 7
