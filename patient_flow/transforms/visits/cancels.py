"""F1, F12: the events of a visit that remain after every cancel has undone its target."""

from __future__ import annotations

from patient_flow.transforms.visits.model import (
    ADMISSION,
    ARRIVAL,
    CANCEL_ADMISSION,
    CANCEL_DISCHARGE,
    CANCEL_TRANSFER,
    DISCHARGE,
    SNAPSHOT,
    TRANSFER,
    TRIAGE,
    VOID,
    Event,
)

_UNDONE_BY = {CANCEL_TRANSFER: TRANSFER, CANCEL_DISCHARGE: DISCHARGE}
CANCELS = frozenset((CANCEL_ADMISSION, CANCEL_TRANSFER, CANCEL_DISCHARGE, VOID))


def not_void(ordered: list[Event]) -> list[Event]:
    """F12: events that no ``void_visit`` voids. It voids every event up to it, at its own instant what the hub took."""
    void = next((event for event in reversed(ordered) if event.type == VOID), None)
    if void is None:
        return ordered
    # Of several at the last one's instant, the one that the hub took last reaches furthest.
    void = max((event for event in ordered if event.type == VOID and event.time == void.time), key=_hub)
    return [event for event in ordered if (event.time, event.hub) > (void.time, void.hub)]


def standing(ordered: list[Event]) -> list[Event]:
    """Events that no cancel undoes, without the cancels."""
    left: list[Event] = []
    for event in ordered:
        if event.type not in CANCELS:
            left.append(event)
        elif event.type == CANCEL_ADMISSION:
            left = _without_admission(left, event)
        else:
            target = _newest(left, event, _UNDONE_BY[event.type])
            if target is not None:
                del left[target]
    return left


def _newest(left: list[Event], cancel: Event, kind: int) -> int | None:
    """Place of the newest target that the hub took before ``cancel``; of one taken after it where there is no other."""
    places = [place for place, event in enumerate(left) if event.type == kind]
    before = [place for place in places if not _is_taken_after(left[place], cancel)]
    return max(before or places, default=None)


def _is_taken_after(event: Event, cancel: Event) -> bool:
    return event.time == cancel.time and event.hub > cancel.hub


def _without_admission(left: list[Event], cancel: Event) -> list[Event]:
    """A cancelled admission takes the transfers and discharges after it along, a cancelled snapshot those before it.

    Without a standing admission the arrival and triage are undone (F12).
    """
    target = _newest(left, cancel, ADMISSION)
    gone: tuple[int, ...] = (ADMISSION,)
    if target is None:
        target, gone = _newest(left, cancel, SNAPSHOT), (SNAPSHOT,)
    if target is None:
        registered = [event for event in left if event.type in (ARRIVAL, TRIAGE)]
        taken_before = [event for event in registered if not _is_taken_after(event, cancel)]
        undone = taken_before or registered
        return [event for event in left if event not in undone]
    before, after = left[:target], left[target + 1 :]
    if gone == (SNAPSHOT,):
        before = [event for event in before if event.type != SNAPSHOT]
    return before + [
        event for event in after if event.type not in (TRANSFER, DISCHARGE) or _is_taken_after(event, cancel)
    ]


def _hub(event: Event) -> tuple[int, str, int, int]:
    return event.hub
