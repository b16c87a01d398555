"""The command line: commands, their options, and errors on one line. The work is done by other modules."""

from __future__ import annotations

import functools
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from click.core import ParameterSource

from patient_flow import (
    access_log_command,
    departments_command,
    forecast_command,
    import_command,
    reconcile_command,
    simulate_command,
    warehouse_command,
)
from patient_flow.errors import OperatorError, PatientFlowError
from patient_flow.mllp.command import command as mllp
from patient_flow.settings import Settings, load, unknown_variables
from patient_flow.trial.commands import mapping
from patient_flow.wording import plural

_EXAMPLE = "\b\nExample:\n  "


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="patient-flow")
def cli() -> None:
    """Hospital patient flow: from Event Hubs through a Delta lake to a star schema, as Dagster assets."""
    if unknown := unknown_variables():
        click.echo(f"warning: {unknown}", err=True)


PORT, ANY_PORT = click.IntRange(1, 65535), click.IntRange(0, 65535)
POSITIVE = click.FloatRange(min=0, min_open=True)


@cli.command(epilog=f"{_EXAMPLE}patient-flow demo\n  patient-flow demo --speed 3600")
@click.option("--days", type=click.FloatRange(min=0), help="Days of history of a new demo  [default: 38]")
@click.option(
    "--speed",
    type=POSITIVE,
    help="Hospital seconds per second once live; 3600 shows a day of the hospitals in 24 seconds. An existing demo "
    "may be continued at another speed  [default: 1, or as before]",
)
@click.option("--hub-port", type=PORT, help="Port of the local Event Hub  [default: 5672, or a free one]")
@click.option("--ui-port", type=PORT, help="Port of the Dagster UI  [default: 3000, or a free one]")
@click.option("--dashboard-port", type=PORT, help="Port of the dashboard  [default: 8050, or a free one]")
def demo(
    days: float | None, speed: float | None, hub_port: int | None, ui_port: int | None, dashboard_port: int | None
) -> None:
    """Run everything on this machine: Event Hub, hospitals, pipeline, dashboard.

    Ctrl-C stops it and keeps the data in the folder data; the next start goes on from there.
    """
    from patient_flow import demo as everything

    everything.run(everything.Options(days, speed, hub_port, ui_port, dashboard_port))


@cli.command(epilog=f"{_EXAMPLE}patient-flow hub --partitions 8 --hub patient-flow --hub laboratory")
@click.option("--port", type=ANY_PORT, help="Port on 127.0.0.1; 0 for any free one  [default: the settings', or 5672]")
@click.option("--data", type=click.Path(path_type=Path), help="Folder for the stored events  [default: data/hub]")
@click.option("--partitions", default=4, show_default=True, type=click.IntRange(1, 1024), help="Per hub.")
@click.option(
    "--retention-hours",
    type=POSITIVE,
    default=168.0,
    show_default=True,
    help="How long events are kept.",
)
@click.option("--hub", "hubs", multiple=True, help="Name of a hub; repeatable  [default: the settings']")
@click.option("--consumer-group", "groups", multiple=True, help="Another group; repeatable  [default: the settings']")
def hub(
    port: int | None,
    data: Path | None,
    partitions: int,
    retention_hours: float,
    hubs: tuple[str, ...],
    groups: tuple[str, ...],
) -> None:
    """Run the local Event Hub alone: it stores events durably and speaks the protocol of Azure Event Hubs."""
    from patient_flow.local_hub.server import serve

    settings = load()
    serve(
        data or Path("data/hub"),
        settings.hub_port if port is None else port,
        hubs or (settings.eventhub_name,),
        partitions,
        timedelta(hours=retention_hours),
        on_ready=lambda connection: click.echo(f"ready: {connection}"),
        consumer_groups=(settings.eventhub_consumer_group, *groups),
    )


@cli.command(epilog=f"{_EXAMPLE}patient-flow dashboard --port 8050")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=ANY_PORT, default=8050, show_default=True, help="Port; 0 for any free one.")
@click.option(
    "--history-days",
    type=click.IntRange(min=0),
    default=0,
    help="Days that an import is bringing: the page says how far it is.",
)
def dashboard(host: str, port: int, history_days: int) -> None:
    """Serve the dashboard alone, on the warehouse that the settings name."""
    from patient_flow.dashboard.access import SignIn
    from patient_flow.dashboard.pages import Freshness
    from patient_flow.dashboard.server import Options, serve
    from patient_flow.services import Services

    settings = load()
    settings.require_access_log_key()
    sign_in = SignIn(
        settings.dashboard_user_header,
        settings.dashboard_hospitals_header,
        settings.dashboard_departments_header,
        settings.dashboard_trusted_proxies,
        settings.dashboard_aggregates_header,
    )
    freshness = Freshness(
        timedelta(minutes=settings.dashboard_amber_minutes), timedelta(minutes=settings.dashboard_red_minutes)
    )
    services = Services(settings)
    serve(
        services,
        host,
        port,
        on_ready=lambda address: click.echo(f"ready: {address}"),
        options=Options(
            sign_in,
            freshness,
            settings.dashboard_hosts,
            settings.access_log_key,
            settings.suppress_below,
            services.chart_notes,
            services.escalation,
            settings.alerts.occupancy_limits,
            history_days,
        ),
    )


@cli.group()
def aggregates() -> None:
    """Days and months without small numbers, for aggregate readers."""


@aggregates.command("publish", epilog=f"{_EXAMPLE}patient-flow aggregates publish --history")
@click.option("--history", is_flag=True, help="Also all days before the published ones.")
def publish_aggregates(history: bool) -> None:
    """Publish closed days in the warehouse's table AggregateDay. The job `housekeeping` does so every hour.

    A published day is never changed. Counts below PATIENT_FLOW_SUPPRESS_BELOW are hidden, and as many others as needed.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    settings = load()
    if not settings.suppress_below:
        raise OperatorError(
            "PATIENT_FLOW_SUPPRESS_BELOW is 0: set it to the smallest count that may be seen, for example 5"
        )
    days = operations.publish_aggregates(Services(settings), datetime.now(UTC), with_history=history)
    click.echo(f"{plural(days, 'day of hospitals', 'days of hospitals')} published")


@cli.command(epilog=f"{_EXAMPLE}patient-flow status")
@click.option(
    "--wait",
    type=POSITIVE,
    default=2.0,
    show_default=True,
    help="Seconds for the answers of each system.",
)
def status(wait: float) -> None:
    """Show lag per partition, rows per table, quarantined events by reason, and the age of the newest event."""
    from patient_flow.services import Services
    from patient_flow.status import report

    settings = load()
    _warn_of_demo_key(settings)
    report(Services(settings), wait)


@cli.command(epilog=f"{_EXAMPLE}patient-flow rebuild --engine spark --remote sc://cluster.example.org:15002")
@click.option(
    "--engine",
    type=click.Choice(["local", "spark"]),
    default="local",
    show_default=True,
    help="Compute in this process or on a cluster.",
)
@click.option(
    "--remote",
    metavar="URL",
    envvar="SPARK_REMOTE",
    show_envvar=True,
    help="The cluster's Spark Connect address, sc://HOST[:PORT][/;PARAMETERS].",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the cluster's access token  [default: the variable SPARK_CONNECT_AUTHENTICATE_TOKEN]",
)
@click.pass_context
def rebuild(context: click.Context, engine: str, remote: str | None, token_file: Path | None) -> None:
    """Recompute silver, gold and warehouse from bronze. The result equals that of the micro-batches.

    Where the sensor runs, the job "backfill" in the UI does the same between micro-batches. Micro-batches may run
    at the same time, but process no new events until silver is complete.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    is_argument = context.get_parameter_source("remote") is ParameterSource.COMMANDLINE
    if (engine == "spark" and not remote) or (engine != "spark" and (is_argument or token_file)):
        raise click.UsageError("--engine spark and --remote sc://HOST[:PORT] go together")
    if is_argument and remote and "token=" in remote:
        raise click.UsageError(
            "every user of this machine can read a token in --remote: put it into SPARK_CONNECT_AUTHENTICATE_TOKEN or "
            "a file (--token-file), or the whole address into SPARK_REMOTE"
        )
    token = token_file.read_text(encoding="utf-8").strip() if token_file else None
    for line in operations.rebuild(Services(load()), remote if engine == "spark" else None, token):
        click.echo(line)


@cli.command(epilog=f"{_EXAMPLE}patient-flow erase --patient 4711 --dry-run")
@click.option("--patient", "number", required=True, metavar="ID", help="The patient's number; - reads standard input.")
@click.option(
    "--scope",
    help="Where the number is unique, if several persons have it: network, hospital=3, assigner=HIS, shared=NAME.",
)
@click.option("--dry-run", is_flag=True, help="Search, and say what would be erased.")
@click.option(
    "--receipt",
    "path",
    type=click.Path(path_type=Path),
    help="File for the receipt as JSON  [default: erasure-TIME.json in this folder]",
)
def erase(number: str, scope: str | None, path: Path | None, *, dry_run: bool) -> None:
    """Erase everything of one person, under all numbers merged with this one, from lake, warehouse and their history.

    Other writers wait meanwhile. Repeat the command if it was interrupted: it goes on. What the Event Hub and backups
    keep is stated in the receipt; events of the person that come back from there stay erased.
    """
    from patient_flow import operations, receipts
    from patient_flow.services import Services

    if path or not dry_run:
        receipts.require_place(path)
    given = sys.stdin.readline() if number == "-" else number
    log = functools.partial(click.echo, err=True)
    receipt = operations.erase(Services(load()), given, scope, dry_run=dry_run, log=log)
    for line in receipt.lines():
        click.echo(line)
    if not dry_run or path:
        place = path or Path(f"erasure-{receipt.erased_at:%Y%m%dT%H%M%SZ}.json")
        click.echo(f"the receipt is in {receipts.write(place, receipt.to_json())}")


@cli.command(epilog=f"{_EXAMPLE}patient-flow powerbi --storage directquery")
@click.option(
    "--storage",
    type=click.Choice(["import", "directquery"]),
    default="import",
    show_default=True,
    help="Whether Power BI keeps a copy of the rows or asks the warehouse each time.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where to write it  [default: infra/powerbi, or powerbi-aggregates]",
)
@click.option("--aggregates", "only_aggregates", is_flag=True, help="The model of published days and months, no facts.")
def powerbi(storage: str, folder: Path | None, only_aggregates: bool) -> None:
    """Write the Power BI project (semantic model and report) from the contracts."""
    from patient_flow.powerbi import project
    from patient_flow.powerbi.declarations import Storage
    from patient_flow.services import Services

    folder = folder or Path("powerbi-aggregates" if only_aggregates else "infra/powerbi")
    if only_aggregates:
        written = project.write_aggregates(folder, storage=Storage(storage))
    else:
        written = project.write(folder, Services(load()).departments, storage=Storage(storage))
    click.echo(f"{plural(written, 'file')} written to {folder}")


@cli.command(epilog=f"{_EXAMPLE}patient-flow migrate")
def migrate() -> None:
    """Rewrite the lake's tables whose columns have other types than this version needs."""
    from patient_flow import operations
    from patient_flow.services import Services

    for line in operations.migrate_lake(Services(load())):
        click.echo(line)


@cli.group()
def lake() -> None:
    """Check and repair the files of the lake."""


@lake.command(epilog=f"{_EXAMPLE}patient-flow lake check")
def check() -> None:
    """Name damaged files of the lake, table by table. Exit code 1 when there are any.

    Reads every file once: log, checkpoints, data files and change data.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    damages = list(operations.check_lake(Services(load())))
    for damage in damages:
        click.echo(str(damage))
    if damages:
        raise OperatorError(f"{len(damages)} damaged: run `patient-flow lake repair`")
    click.echo("every file of the lake can be read and is what was written")


@lake.command(epilog=f"{_EXAMPLE}patient-flow lake repair")
def repair() -> None:
    """Bring back damaged tables from what hub and other tables still hold, and state what is lost for good.

    The job "lake_repair" in the UI does the same between micro-batches. Before this command stop the sensor and
    running micro-batches. Damaged files are moved to LAYER/_damaged, never deleted.
    """
    from patient_flow import operations
    from patient_flow.services import Services

    for line in operations.repair_lake(Services(load()), click.echo):
        click.echo(line)


@cli.command("replay-quarantine", epilog=f"{_EXAMPLE}patient-flow replay-quarantine --reason department_is_missing")
@click.option("--reason", help="Only events rejected for this reason  [default: all]")
def replay_quarantine(reason: str | None) -> None:
    """Validate quarantined events again after a change of a rule, a mapping or the department list."""
    from patient_flow import operations
    from patient_flow.services import Services

    for line in operations.replay_quarantine(Services(load()), reason):
        click.echo(line)


cli.add_command(mapping)
cli.add_command(simulate_command.simulate)
cli.add_command(import_command.command)
cli.add_command(reconcile_command.command, "reconcile")


def _warn_of_demo_key(settings: Settings) -> None:
    if settings.uses_demo_key:
        click.echo(
            "warning: pseudonyms are made with the published key of the local demo; for real patients set "
            "PATIENT_FLOW_PSEUDONYM_KEY to a secret of your own",
            err=True,
        )


cli.add_command(access_log_command.access_log)
cli.add_command(departments_command.departments)
cli.add_command(forecast_command.forecast)
cli.add_command(mllp)
cli.add_command(warehouse_command.warehouse)


def main() -> None:
    """Entry point. Errors of the package print one line and exit with code 1; bugs keep their traceback."""
    try:
        cli()
    except (PatientFlowError, OSError) as error:  # OSError: a file or an account, named by whatever reads it
        click.echo(f"patient-flow: {' '.join(str(error).split())}", err=True)
        sys.exit(1)
