"""A call that always comes back, whatever the system behind it does.

The clients of hub, lake and warehouse have timeouts, but none bounds the whole: in front of a peer that accepts and
never answers some take minutes, and one takes for ever. A tick and a command have a deadline all the same.
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
"""A call that did not come back for so long may hang on a connection that is long gone: another is tried."""


class CallTimedOut(TransientError):
    """The call did not come back in time."""


@dataclass
class _Call(Generic[T]):
    act: Callable[[], T]
    due: float
    result: T | None = None
    error: BaseException | None = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self._run, name="patience", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:  # noqa: BLE001  (raised again in the caller's thread)
            self.error = error


_newest: dict[Hashable, _Call[object]] = {}
"""The newest call of each system, as long as it runs."""


def call_with_timeout(seconds: float, system: Hashable, act: Callable[[], T]) -> T:
    """What ``act`` returns, or raises, if it does within ``seconds``; else :class:`CallTimedOut`.

    A call that is late goes on in its thread. As long as it does, the next ones of the same ``system`` are answered at
    once: each would leave one more thread and connection behind.
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
