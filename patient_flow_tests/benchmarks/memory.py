"""Peak memory of the two largest jobs: a rebuild, and a micro-batch after an outage."""

from __future__ import annotations

from pathlib import Path

from patient_flow_tests.benchmarks import batch, measuring, micro_batch, report
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Memory"


def run(folder: Path, size: Size) -> report.Section:
    """Each once: peaks hardly vary, and do not depend on what else the machine does."""
    [product, *_] = batch.contenders(folder / "batch", size.events, with_spark=False)
    rebuild = measuring.measure(product.command())
    history = micro_batch.rebuilt(folder, size.events, "history")
    outage = history.measure("mixed", size.events // 2)
    rows = [
        [f"rebuild of {size.events:,} events", f"{rebuild.peak_mib:,.0f}"],
        [f"micro-batch of {size.events // 2:,} events on {size.events:,}", f"{outage.peak_mib:,.0f}"],
    ]
    return report.Section(
        "Peak of the process tree; pages that processes share count once.\n\n" + report.table(["", "peak MiB"], rows),
        "; ".join(f"{name}: {peak} MiB" for name, peak in rows),
    )
