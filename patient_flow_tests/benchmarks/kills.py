"""Kills and races: does a pipeline that dies at any instant, or runs three times at once, end as an undisturbed one?

    python -m patient_flow_tests.benchmarks.kills --kills 1000 --races 1000

Processes that run a micro-batch, a rebuild, a replay of the quarantine or maintenance get SIGKILL at a random instant,
and so does the local Event Hub while a producer sends. In a race three of these run at once. After every ``--every``
kills and races micro-batches run to their end. Lake and warehouse are compared with those of one micro-batch on an
empty lake from the same hub, and bronze must hold what the hub acknowledged. At the end maintenance must leave no file
behind that no table needs.

Prints a line for each difference and for each process that ended with something else than a named error, and exits
with 1 if there is one. A kill takes two seconds on two idle cores, a race ten.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from random import Random

from patient_flow_tests.killing import Field, bodies_of_a_hospital


def main() -> None:
    """Kills, races, compares."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--races", type=int, default=1000)
    options.add_argument("--every", type=int, default=50, help="compare after so many kills or races")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        machine = Field(Path(folder), bodies_of_a_hospital(Path(folder)), Random(asked.seed))
        machine.start_hub()
        machine.send()
        machine.measure()
        print(json.dumps({name: round(seconds, 2) for name, seconds in machine.seconds.items()}), flush=True)
        for kind, count, disturb in (("kills", asked.kills, machine.kill_one), ("races", asked.races, machine.race)):
            for number in range(1, count + 1):
                disturb()
                if number % asked.every == 0 or number == count:
                    machine.compare(f"after {number} {kind}")
                    print(
                        f"{number} {kind}, {len(machine.acknowledged)} events: {len(machine.faults)} faults", flush=True
                    )
        machine.look_for_leftovers()
        assert machine.hub is not None
        machine.hub.kill()
    for fault in machine.faults:
        print(fault)
    print(", ".join(f"{ending}: {number}" for ending, number in sorted(machine.endings.items())))
    sys.exit(1 if machine.faults else 0)


if __name__ == "__main__":
    main()
