"""``patient-flow simulate``: its options, and where it sends."""

from __future__ import annotations

from pathlib import Path

import click

from patient_flow.settings import load


@click.command(epilog="\b\nExample:\n  patient-flow simulate --days 30 --format reference --to-file events.jsonl")
@click.option("--seed", default=7, show_default=True, help="The same seed gives the same hospitals.")
@click.option("--events", type=click.IntRange(min=1), help="Stop after this number of events.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Events per second (excludes --speed).")
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    help="Hospital seconds per second; 3600 is a day in 24 seconds  [default: 1]",
)
@click.option(
    "--days", type=click.FloatRange(min=0), default=0.0, show_default=True, help="Days of history to send first."
)
@click.option(
    "--dirty",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    help="Fraction of events that are corrupted.",
)
@click.option("--demand", type=click.FloatRange(0.1, 2), default=1.0, show_default=True, help="1: a busy network.")
@click.option(
    "--reserve",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Fraction of beds kept free of planned patients.",
)
@click.option("--spare-moves", is_flag=True, help="Corrupt nothing that says who is in which bed.")
@click.option("--format", "form", type=click.Choice(["reference", "lifecycle"]), default="lifecycle", show_default=True)
@click.option("--to-file", type=click.Path(path_type=Path), help="Write JSON lines there instead of sending.")
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    help="File that stores the feed's position, to resume, also at another --speed.",
)
@click.option(
    "--history-to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the days of history to files there, for `patient-flow import`, and send what follows.",
)
def simulate(
    seed: int,
    events: int | None,
    rate: float | None,
    speed: float | None,
    days: float,
    dirty: float,
    form: str,
    to_file: Path | None,
    journal: Path | None,
    history_to: Path | None,
    demand: float,
    reserve: float,
    spare_moves: bool,
) -> None:
    """Send the events of a simulated hospital network to the Event Hub that the settings name."""
    from patient_flow.simulator.run import Options, destination
    from patient_flow.simulator.run import simulate as run

    if history_to and not (days and (speed or rate)):
        raise click.UsageError("--history-to goes with --days and with --speed or --rate")
    options = Options(
        seed=seed,
        events=events,
        rate=rate,
        speed=speed,
        days=days,
        dirty=dirty,
        format=form,  # type: ignore[arg-type]
        to_file=to_file,
        journal=journal,
        history_to=history_to,
        spares_moves=spare_moves,
        demand=demand,
        reserve=reserve,
    )
    settings = load()
    click.echo(f"sending to {destination(settings, options)}")
    click.echo(str(run(settings, options)))
