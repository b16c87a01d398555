"""``patient-flow forecast``: backtests of the forecast, and what measures would change."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    import polars as pl


@click.group()
def forecast() -> None:
    """Forecasts of beds and arrivals."""


@forecast.command(epilog="\b\nExample:\n  patient-flow forecast backtest --from 2026-10-01 --to 2026-10-28")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), required=True, help="First local date.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), required=True, help="Last local date.")
@click.option("--csv", "file", type=click.File("w", encoding="utf-8"), help="Write every score to this file.")
def backtest(first: datetime, last: datetime, file: TextIO | None) -> None:
    """Forecast as of 06:00 on past days, from what was known then, and compare with what happened."""
    import polars as pl

    from patient_flow import forecast_report
    from patient_flow.errors import OperatorError
    from patient_flow.operations import step_context
    from patient_flow.services import Services
    from patient_flow.settings import load

    if last < first:
        raise OperatorError("--to is before --from")
    context = step_context(Services(load()), run_id="backtest", now=datetime.now(UTC))
    days = (last - first).days + 1
    scored: list[pl.DataFrame] = []
    with click.progressbar(length=days, label="backtest", show_pos=True) as bar:
        for _, rows in forecast_report.backtest(context, first.date(), last.date()):
            scored.append(rows)
            bar.update(1)
    found = pl.concat(scored) if scored else pl.DataFrame()
    if found.is_empty():
        raise OperatorError(forecast_report.NOTHING_COMPARED)
    if file is not None:
        file.write(found.drop("day", "place").write_csv())
    click.echo(_table(forecast_report.summary(found)))


@forecast.command(
    "what-if",
    epilog="\b\nExample:\n  patient-flow forecast what-if --hospital 1 --department ICU --earlier 2",
)
@click.option("--hospital", default="", help="Id of the hospital; without it, --earlier is for all hospitals.")
@click.option("--department", default="", help="Name of the department; without it, --earlier is for all of them.")
@click.option("--beds", default=0, help="Staffed beds opened; closed ones are negative.")
@click.option("--postpone", default=0.0, help="Planned admissions of the next 72 hours that are postponed.")
@click.option("--earlier", default=0, help="By how many hours patients leave earlier, 0 to 12.")
@click.option("--unjudged", is_flag=True, help="Also where 28 days have not been judged, or the last week was bad.")
def what_if(hospital: str, department: str, beds: int, postpone: float, earlier: int, *, unjudged: bool) -> None:
    """Show how opened or closed beds, postponed admissions or earlier discharges would change the newest forecast."""
    from patient_flow import forecast_report
    from patient_flow.operations import step_context
    from patient_flow.services import Services
    from patient_flow.settings import load

    context = step_context(Services(load()), run_id="what-if", now=datetime.now(UTC))
    found = forecast_report.what_if(
        context, hospital, department, beds, postpone, earlier, is_unjudged_allowed=unjudged
    )
    click.echo("\n".join(forecast_report.what_if_lines(found, department, context.timezone)))


def _table(summary: pl.DataFrame) -> str:
    lines = [
        "                       mean absolute error, beds          better than    interval covers",
        "of           ahead       model  persistence  week ago      the best of      80 %    95 %   forecasts",
    ]
    for row in summary.iter_rows(named=True):
        gain = row["gain_pct"]
        better = "" if gain is None else f"{gain:+.0f} %"
        lines.append(
            f"{row['of']:<12} {row['horizon']:<10} {row['absolute_error']:>6.2f} {row['persistence']:>12.2f} "
            f"{row['week_ago']:>9.2f} {better:>16} {row['covered_80_pct']:>9.1f} {row['covered_95_pct']:>7.1f} "
            f"{row['forecasts']:>11,}"
        )
    return "\n".join(lines)
