"""``patient-flow mllp``."""

from __future__ import annotations

import click

from patient_flow.settings import load


@click.command("mllp", epilog="\b\nExample:\n  patient-flow mllp --host 0.0.0.0 --port 2575")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=2575, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 for any free one."
)
def command(host: str, port: int) -> None:
    """Receive HL7 v2 over MLLP and send each message to the Event Hub.

    A message is acknowledged (AA) once the hub has stored it; otherwise with AE, and the sender sends it again. MLLP
    has neither encryption nor sign-in: listen on a trusted network only, or put a TLS proxy in front.
    """
    import asyncio

    from patient_flow.mllp.receiver import run

    asyncio.run(run(load(), host, port, lambda line: click.echo(line)))
