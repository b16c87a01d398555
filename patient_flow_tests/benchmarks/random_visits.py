"""Random visits through the fold and through the rules in plain Python: does anything differ?

    python -m patient_flow_tests.benchmarks.random_visits --visits 100000

Prints each feed that differs, cut down to what the difference needs, and at the end how many visits were compared and
which columns differed. Exits with 1 when any did. ``--first`` is the first seed: a run can be split.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from patient_flow.transforms.visits import plain
from patient_flow_tests.visits_by_rule import comparison, generator


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the fold with the rules on random visits.")
    parser.add_argument("--visits", type=int, default=100_000, help="visits to compare (default: 100000)")
    parser.add_argument("--first", type=int, default=0, help="first seed (default: 0)")
    parser.add_argument("--plain", action="store_true", help="visits that are mostly folded as columns")
    parser.add_argument("--shown", type=int, default=3, help="differing feeds to print (default: 3)")
    arguments = parser.parse_args()

    plain.MIN_EVENTS = 0
    seed, visits, differing, begun = arguments.first, 0, 0, time.monotonic()
    columns: Counter[str] = Counter()
    while visits < arguments.visits:
        feed = generator.plain_feed(seed) if arguments.plain else generator.feed(seed)
        visits += len({row["visit_id"] for row in feed.rows if row["visit_id"]})
        found = comparison.differences(feed)
        if found:
            differing += 1
            columns.update({f"{row[0]}.{column}" for row, column, _, _ in found})
            if differing <= arguments.shown:
                smallest = comparison.shrink(feed)
                row, column, got, right = comparison.differences(smallest)[0]
                print(f"seed {seed}: {row} {column}: fold {got!r}, rules {right!r}\n{comparison.lines(smallest)}\n")
        seed += 1
    seconds = time.monotonic() - begun
    print(f"{visits} visits in {seed - arguments.first} feeds, {differing} differ, {seconds:.0f} s")
    print("\n".join(f"{count:>6} {column}" for column, count in columns.most_common()))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
