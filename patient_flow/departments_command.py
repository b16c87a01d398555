"""``patient-flow departments``: check a department list, and write it to the place that the settings name."""

from __future__ import annotations

from pathlib import Path

import click

from patient_flow.wording import plural


@click.group()
def departments() -> None:
    """Check the department list and write it to the lake."""


_FILE = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))


@departments.command(epilog="\b\nExample:\n  patient-flow departments check departments.csv")
@_FILE
def check(file: Path) -> None:
    """Name all faults of a CSV file, by line. Exit code 1 when there are any."""
    from patient_flow.stores.reference import read_department_file

    click.echo(f"{plural(read_department_file(file).height, 'row')}, no fault")


@departments.command(epilog="\b\nExample:\n  patient-flow departments write departments.csv")
@_FILE
def write(file: Path) -> None:
    """Check a CSV file and replace the Delta table that PATIENT_FLOW_DEPARTMENTS names with its rows."""
    from patient_flow.errors import OperatorError
    from patient_flow.settings import load
    from patient_flow.stores.reference import read_department_file, write_departments

    place = load().departments
    if not place or place.casefold().endswith(".csv"):
        raise OperatorError(
            f"PATIENT_FLOW_DEPARTMENTS is {place or 'empty'}: it must name a Delta table, as in "
            "abfss://bronze@ACCOUNT.dfs.core.windows.net/reference/departments"
        )
    listed = read_department_file(file)
    write_departments(listed, place)
    click.echo(f"{plural(listed.height, 'row')} written to {place}")
