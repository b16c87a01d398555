"""How much each part of the suite measures."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Size:
    """``events`` is the main size; ``histories``, ``stays`` and ``days`` are those of the parts with a history."""

    events: int
    rounds: int
    histories: tuple[int, ...]
    """Events in silver before a micro-batch."""
    stays: int
    """In the warehouse that the dashboard reads."""
    cadences: tuple[int, ...]
    """Seconds between micro-batches."""
    rates: tuple[int, ...]
    """Events a second from the simulator."""
    minutes: float
    """How long each rate is observed at most."""
    days: float
    """History of the network."""
    commits: int
    """On one table."""
    runs_a_day: int
    """That stand for the 1,440 runs of a day."""
    has_spark: bool = True
    has_postgresql: bool = True

    @property
    def micro_batch(self) -> int:
        """Events of one micro-batch."""
        return min(10_000, self.events)


SIZES = {
    "tiny": Size(
        events=2_000,
        rounds=1,
        histories=(2_000,),
        stays=2_000,
        cadences=(10,),
        rates=(20,),
        minutes=0.5,
        days=0.05,
        commits=64,
        runs_a_day=1,
        has_spark=False,
        has_postgresql=False,
    ),
    "standard": Size(
        events=100_000,
        rounds=3,
        histories=(100_000, 1_000_000),
        stays=1_000_000,
        cadences=(60, 10),
        rates=(10, 200),
        minutes=3,
        days=14,
        commits=2_000,
        runs_a_day=4,
    ),
    "large": Size(
        events=1_000_000,
        rounds=3,
        histories=(100_000, 1_000_000, 10_000_000),
        stays=10_000_000,
        cadences=(60, 10),
        rates=(10, 200, 2_000),
        minutes=3,
        days=365,
        commits=50_000,
        runs_a_day=24,
    ),
}
SIZES["huge"] = replace(SIZES["large"], events=20_000_000)
"""For the part ``memory``: a rebuild takes ten minutes, on a quiet machine."""
