"""Peak memory of the two largest jobs: a rebuild, and a micro-batch after an outage."""

from __future__ import annotations

import sys
from pathlib import Path

from patient_flow.stores.lake.catalog import Lake
from patient_flow_tests.benchmarks import batch, history, measuring, micro_batch, report
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Memory"
MAX_KNOWN = 1_000_000
"""Events of the history of the micro-batch, half of which it brings."""


def run(folder: Path, size: Size) -> report.Section:
    """Each once: peaks hardly vary, and do not depend on what else the machine does."""
    lake, known, new = folder / "rebuild", min(size.events, MAX_KNOWN), min(size.events, MAX_KNOWN) // 2
    history.receive(Lake(f"{lake}/{{layer}}"), size.events)
    rebuild = measuring.measure([sys.executable, "-m", batch.__name__, str(lake)])
    outage = micro_batch.rebuilt(folder, known, "history").measure("mixed", new)
    rows = [
        [f"rebuild of {size.events:,} events, and an eighth of them redelivered", f"{rebuild.peak_mib:,.0f}"],
        [f"micro-batch of {new:,} events on {known:,}", f"{outage.peak_mib:,.0f}"],
    ]
    return report.Section(
        "Peak of the process tree; pages that processes share count once.\n\n" + report.table(["", "peak MiB"], rows),
        "; ".join(f"{name}: {peak} MiB" for name, peak in rows),
    )
