"""A call with a hard timeout.

The clients of hub, lake and warehouse have timeouts, but none limits the whole call: when a peer accepts and never
answers, some take minutes and one blocks for ever. Ticks and commands have deadlines nevertheless.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from patient_flow.errors import TransientError

T = TypeVar("T")

ABANDONED_SECONDS = 600.0
"""A call that has not returned after this time probably hangs on a dead connection: a new call is started."""


class CallTimedOut(TransientError):
    """The call did not return within the timeout."""


@dataclass
class _Call(Generic[T]):
    act: Callable[[], T]
    due: float
    result: T | None = None
    error: BaseException | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="call-with-timeout", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.error = error


_newest: dict[Hashable, _Call[object]] = {}
"""The newest running call of each system."""


def call_with_timeout(seconds: float, system: Hashable, act: Callable[[], T]) -> T:
    """Returns or raises what ``act`` does within ``seconds``; raises :class:`CallTimedOut` otherwise.

    A late call continues in its thread. Until it ends, further calls to the same ``system`` time out without a new
    thread: each would leave one more thread and connection behind.
    """
    began = time.monotonic()
    if (earlier := _newest.get(system)) is not None and earlier.thread.is_alive():
        earlier.thread.join(max(0.0, min(began + seconds, earlier.due) - began))
        if earlier.thread.is_alive() and time.monotonic() < earlier.due + ABANDONED_SECONDS:
            raise CallTimedOut
    call = _Call(act, began + seconds)
    call.start()
    _newest[system] = call  # type: ignore[assignment]
    call.thread.join(max(0.0, call.due - time.monotonic()))
    if call.thread.is_alive():
        raise CallTimedOut
    if _newest.get(system) is call:
        del _newest[system]
    if call.error is not None:
        raise call.error
    return call.result  # type: ignore[return-value]
