"""The rehearsal of a national network at a tenth of its size: 35 hospitals, 0.4 events a second, peaks of 12.

A history of ``days`` is built as a rebuild builds it. Then one-minute micro-batches run on it: usual minutes of 24
events and chatter peaks of 720.
"""

from __future__ import annotations

import sys
from pathlib import Path

from patient_flow_tests.benchmarks import history, measuring, micro_batch, report
from patient_flow_tests.benchmarks.sizes import Size
from patient_flow_tests.benchmarks.watching import size_mib

TITLE = "Network 1:10"
PEAK = 720
"""Events of a minute: 12 a second."""
HOPS = ("bronze", "silver", "gold", "warehouse.db")


def run(folder: Path, size: Size) -> report.Section:
    """Rebuild, maintenance, minutes."""
    traffic = micro_batch.NETWORK
    events = int(size.days * traffic.visits_a_day) * history.EVENTS_A_VISIT
    lake = folder / "lake"
    build = measuring.measure([sys.executable, "-m", __name__, str(lake), str(events)])
    kept = micro_batch.History(lake, events // history.EVENTS_A_VISIT)
    on_disk = {place: size_mib(lake / place) for place in HOPS}
    rows = []
    cpu = {}
    for name, batch in (("usual minute", micro_batch.USUAL), ("chatter peak", PEAK)):
        if size.rounds > 1:
            kept.measure("network", batch)  # the first of several warms up
        one = measuring.median([kept.measure("network", batch) for _ in range(size.rounds)])
        cpu[name] = micro_batch.cpu(one)
        seconds = (f"{value:.2f}" for value in one.steps.values())
        rows.append([name, batch, *seconds, f"{cpu[name] / 0.6:.1f}", f"{one.peak_mib:,.0f}"])
    parts = [f"{part}, {unit} s" for part in micro_batch.PARTS for unit in ("wall", "CPU")]
    bytes_each = {place: mib * 2**20 / events for place, mib in on_disk.items()}
    each = build.cpu_seconds / events * 1e6
    return report.Section(
        f"{traffic.hospitals} hospitals, {size.days:g} days, {events:,} events. Events made, rebuild, load of a SQLite "
        f"warehouse and maintenance: {build.cpu_seconds:,.0f} CPU s ({each:.0f} µs an event), "
        f"{build.wall_seconds:,.0f} s, {build.peak_mib:,.0f} MiB. On disk, bytes an event: "
        + ", ".join(f"{place} {size:.0f}" for place, size in bytes_each.items())
        + f". Then one-minute micro-batches on it, medians of {size.rounds}:\n\n"
        + report.table(["", "events", *parts, "CPU, % of a core", "peak MiB"], rows),
        f"{events:,} events of {traffic.hospitals} hospitals; "
        + "; ".join(f"{name}: {seconds:.1f} CPU s" for name, seconds in cpu.items()),
    )


def main(folder: str, events: str) -> None:
    micro_batch.make_history(Path(folder), int(events), "network")
    history.maintain_all(micro_batch.services(Path(folder)).lake)


if __name__ == "__main__":
    main(*sys.argv[1:])
