"""``patient-flow warehouse``: the warehouse's tables, and how they agree with gold."""

from __future__ import annotations

import click

from patient_flow.errors import OperatorError
from patient_flow.settings import WAREHOUSE_KINDS, load

_EXAMPLE = "\b\nExample:\n  "


@click.group()
def warehouse() -> None:
    """Manage the tables of the warehouse."""


@warehouse.command(epilog=f"{_EXAMPLE}patient-flow warehouse ddl --dialect synapse > star.sql")
@click.option(
    "--dialect",
    type=click.Choice(WAREHOUSE_KINDS),
    required=True,
    help="Which database the DDL is for.",
)
def ddl(dialect: str) -> None:
    """Print the DDL of tables and views."""
    from patient_flow.stores.warehouse import scripts

    click.echo(scripts.ddl(dialect), nl=False)


@warehouse.command(epilog=f"{_EXAMPLE}patient-flow warehouse init")
def init() -> None:
    """Create the missing tables and views of the configured warehouse."""
    from patient_flow.services import Services

    services = Services(load())
    services.warehouse.init()
    click.echo(f"the {services.settings.warehouse_kind} warehouse is ready")


@warehouse.command("migrate", epilog=f"{_EXAMPLE}patient-flow warehouse migrate --dry-run")
@click.option("--dry-run", is_flag=True, help="Show the statements and change nothing.")
def migrate_warehouse(dry_run: bool) -> None:
    """Add missing columns and tables, update changed views; on SQLite and PostgreSQL also indexes and keys."""
    from patient_flow.services import Services

    statements = Services(load()).warehouse.migrate(dry_run=dry_run)
    for statement in statements:
        click.echo(f"{statement};")
    click.echo("nothing to do" if not statements else "not applied" if dry_run else "applied", err=True)


@warehouse.command(epilog=f"{_EXAMPLE}patient-flow warehouse verify")
def verify() -> None:
    """Compare every table of the warehouse with gold: rows, sums, checksums. Exit code 1 when they differ.

    Safe while micro-batches run: a table that is loaded during the comparison is compared again.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    differences = operations.verify_warehouse(Services(load()))
    for difference in differences:
        click.echo(str(difference))
    if differences:
        raise OperatorError("lake and warehouse differ: run `patient-flow warehouse reload`")
    click.echo(operations.AGREEMENT)


@warehouse.command(epilog=f"{_EXAMPLE}patient-flow warehouse reload")
def reload() -> None:
    """Reload tables that differ from gold, for example after rows were changed by hand.

    Safe while micro-batches run. Where the sensor runs, the job "backfill" in the UI does this between micro-batches.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    for line in operations.reload_warehouse(Services(load())):
        click.echo(line)
