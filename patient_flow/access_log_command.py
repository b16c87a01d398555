"""``patient-flow access-log``: who looked at the dashboard."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click

from patient_flow.errors import OperatorError
from patient_flow.settings import load

_EXAMPLE = "\b\nExample:\n  "


@click.group("access-log")
def access_log() -> None:
    """Read and verify the log of who looked at the dashboard."""


@access_log.command("verify", epilog=f"{_EXAMPLE}patient-flow access-log verify")
def verify_access_log() -> None:
    """Verify every line and chain of the access log. Exit code 1 when one was changed, inserted or deleted.

    Two runs with the same fingerprint have read the same log: note it where an administrator of the warehouse cannot
    change it, to notice later that the whole table was replaced by an older state.
    """
    from patient_flow.services import Services

    services = Services(load())
    review = services.access_log.review(services.settings.access_log_key, datetime.now(UTC))
    for finding in review.findings:
        click.echo(finding)
    for chain in review.unfinished:
        click.echo(f"Chain {chain} has no end: its process was killed, or the newest lines were cut off.")
    if review.findings:
        raise OperatorError(
            "the access log is not intact: keep the table as it is, see access_log_intact in the runbook"
        )
    click.echo(review.summary)


@access_log.command("show", epilog=f"{_EXAMPLE}patient-flow access-log show --days 30 --viewer a.martin > views.csv")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1), help="How far back.")
@click.option("--viewer", help="Only this viewer  [default: all]")
def show_access_log(days: int, viewer: str | None) -> None:
    """Print who looked at what, as CSV, the oldest first."""
    from patient_flow.dashboard.spreadsheet import to_csv
    from patient_flow.services import Services

    rows = [
        (entry.at.isoformat(), entry.viewer, entry.kind, entry.what, entry.scope, entry.request_id)
        for entry in Services(load()).access_log.views(datetime.now(UTC) - timedelta(days=days), viewer)
    ]
    click.echo(to_csv([("at", "viewer", "kind", "what", "scope", "request_id"), *rows]), nl=False)
