"""Work behind the page's back: in order, and done or never begun when it is closed."""

from __future__ import annotations

import threading

from patient_flow.dashboard.background import Background


def test_closing_waits_for_what_is_being_done_and_begins_nothing_more() -> None:
    background = Background[str]("reader")
    begun, may_end = threading.Event(), threading.Event()

    def reading() -> str:
        begun.set()
        may_end.wait(10)
        return "read"

    first, second = background.submit(reading), background.submit(lambda: "too late")
    assert begun.wait(10)
    threading.Timer(0.1, may_end.set).start()
    background.close(10)
    assert first.result(0) == "read"
    assert not second.done()
    assert background.submit(lambda: "later").cancelled()


def test_closing_gives_up_on_what_takes_too_long() -> None:
    background = Background[bool]("reader")
    may_end = threading.Event()
    reading = background.submit(lambda: may_end.wait(10))
    background.close(0.05)
    assert not reading.done()
    may_end.set()


def test_closing_what_never_had_work_is_done_at_once() -> None:
    Background[None]("reader").close(10)
