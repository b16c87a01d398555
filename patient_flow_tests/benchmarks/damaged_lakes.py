"""Hundreds of damaged lakes: does each end in a named refusal or a full repair, and never in a wrong figure?

    python -m patient_flow_tests.benchmarks.damaged_lakes --lakes 200

Each lake is a copy of one that holds a few events in every table. One file is emptied, cut off, changed in one bit or
deleted: a log entry, a checkpoint, a data file, change data or checksums. A micro-batch then runs or is refused by
name, ``lake repair`` runs, and all tables are compared with the undamaged lake. Prints each lake that ends otherwise,
and exits with 1 if there is one. About two seconds for each lake on two idle cores.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from patient_flow.local_hub.testing import HubThread
from patient_flow.stores.reference import read_departments
from patient_flow_tests.damage import Made, trials


def main() -> None:
    """Damages, repairs, compares."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--lakes", type=int, default=200)
    options.add_argument("--first", type=int, default=0, help="number of the first lake")
    asked = options.parse_args()
    endings: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, HubThread(Path(folder) / "hub", partitions=2) as hub:
        made = Made(Path(folder) / "made", hub, read_departments())
        for trial in trials(made, Path(folder), range(asked.first, asked.first + asked.lakes)):
            if trial.fault:
                print(trial, flush=True)
            if trial.number % 50 == 49:
                print(f"{trial.number + 1 - asked.first} lakes", flush=True)
            endings["wrong" if trial.fault else "refused, repaired" if trial.was_refused else "harmless"] += 1
    print(", ".join(f"{number} {ending}" for ending, number in sorted(endings.items())))
    sys.exit(1 if endings["wrong"] else 0)


if __name__ == "__main__":
    main()
