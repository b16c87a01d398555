"""A process that drains the hub of the settings into bronze, again and again, until somebody ends it.

``python -m patient_flow_tests.e2e.drain MAX_EVENTS``. Small bites make many commits, and so many moments to die at.
"""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from datetime import UTC, datetime

from patient_flow.operations import step_context
from patient_flow.pipeline import bronze
from patient_flow.services import Services
from patient_flow.settings import load
from patient_flow.stores.hub import HubUnavailable


def main() -> None:
    services = Services(load())
    for number in itertools.count():
        say(f"drain {number}")
        try:
            context = step_context(services, run_id="drain", now=datetime.now(UTC))
            result = bronze.ingest(replace(context, max_events=int(sys.argv[1])))
            say(f"took {result.written.inserted}")
        except HubUnavailable as error:  # it has just been killed: the next round finds it back
            say(f"no hub: {error}")


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
