"""The load of a warehouse, SQLite and PostgreSQL: everything at first, then the changes of a micro-batch.

python -m patient_flow_tests.benchmarks.warehouse_load FOLDER URL
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from patient_flow.contracts.tables import WAREHOUSE_TABLES
from patient_flow_tests.benchmarks import measuring, micro_batch, report
from patient_flow_tests.benchmarks.dashboard import warehouses
from patient_flow_tests.benchmarks.measuring import Figures, ResultsDiffer
from patient_flow_tests.benchmarks.sizes import Size

TITLE = "Warehouse"


def run(folder: Path, size: Size) -> report.Section:
    """First load and changes. Rows per table must be those of gold."""
    history = micro_batch.rebuilt(folder, size.events, "lake")
    rows, first = [], {}
    with warehouses(folder, size) as urls:
        for name, url in urls.items():
            first[name] = _load(history.folder, url)
        history.measure("mixed", size.micro_batch)
        changes = {name: _load(history.folder, url) for name, url in urls.items()}
    for load, found in (("first load", first), (f"changes of {size.micro_batch:,} events", changes)):
        for name, one in found.items():
            written = one.steps["rows"]
            seconds = one.steps["wall"]
            rows.append(
                [
                    load,
                    name,
                    f"{written:,.0f}",
                    f"{seconds:.2f}",
                    f"{one.steps['CPU']:.2f}",
                    f"{written / seconds:,.0f}",
                ]
            )
    return report.Section(
        f"The tables of {size.events:,} events; one run each. The server's CPU time is not in the figures.\n\n"
        + report.table(["", "", "rows inserted", "wall s", "CPU s", "rows a second"], rows),
        "; ".join(f"{load}, {name}: {rate} rows a second" for load, name, *_, rate in rows[: len(first)]),
    )


def _load(folder: Path, url: str) -> Figures:
    figures = measuring.measure([sys.executable, "-m", __name__, str(folder), url])
    found = micro_batch.services(folder, url)
    try:
        loaded = found.warehouse.row_counts()
    finally:
        found.warehouse.dispose()
    differing = [
        f"{table.path}: {rows} and {loaded[table.path]}"
        for table in WAREHOUSE_TABLES
        if (rows := found.lake.open(table).row_count()) != loaded[table.path]
    ]
    if differing:
        raise ResultsDiffer(f"gold and the warehouse {url.partition(':')[0]} differ in {'; '.join(differing)}")
    return figures


def main(folder: str, url: str) -> None:
    found = micro_batch.services(Path(folder), url)
    found.warehouse.init()
    wall, cpu = time.perf_counter(), time.process_time()
    written = micro_batch.load_warehouse(found)
    steps = {"wall": time.perf_counter() - wall, "CPU": time.process_time() - cpu, "rows": written}
    found.warehouse.dispose()
    print(json.dumps({"steps": steps}))


if __name__ == "__main__":
    main(*sys.argv[1:])
