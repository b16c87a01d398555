"""The sensor with real receivers on loopback: an SMTP server, and an HTTP server that plays Teams."""

from __future__ import annotations

import dataclasses
import http.server
import json
import ssl
import threading
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from azure.eventhub import EventData
from msgspec.structs import replace

from patient_flow.definitions import build_defs
from patient_flow.local_hub.testing import HubThread
from patient_flow.monitoring import catalogue
from patient_flow.monitoring.alert_state import AlertState, Firing, changes, update
from patient_flow.monitoring.finding import Finding, Severity
from patient_flow.monitoring.messages import Links, Message
from patient_flow.monitoring.notices import EventsExpired, PartitionAdded, encode
from patient_flow.monitoring.rule import Audience
from patient_flow.monitoring.rules.occupancy import Delays
from patient_flow.orchestration import probes
from patient_flow.orchestration.alert_sensor import alerts, deliver
from patient_flow.orchestration.automation import ASSET_JOB, micro_batch
from patient_flow.orchestration.backfill import backfill
from patient_flow.orchestration.channels import ChannelError, Email, Teams
from patient_flow.orchestration.probes import finished_runs
from patient_flow.orchestration.resources import PatientFlow
from patient_flow.pipeline import hub_probe
from patient_flow.pipeline.backlog import Backlog
from patient_flow.pipeline.hub_probe import Failure, HubFailure, HubStatus
from patient_flow.services import Services
from patient_flow.settings import AlertSettings, load
from patient_flow.stores.hub import _Received
from patient_flow.stores.warehouse.warehouse import Warehouse
from patient_flow_tests.e2e.processes import free_port
from patient_flow_tests.pipeline.test_bronze import send
from patient_flow_tests.servers import make_certificate

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore:.*auth.*:UserWarning")

SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
NOTICE = Message("[patient_flow] critical: hub down", "CRITICAL: hub down\nIt is down – really.\n\nDagster: http://ui")


def icu(at: datetime, *percents: float) -> pl.DataFrame:
    """The occupancy of a department, as the warehouse states it."""
    rows = [("St Anna", "ICU", at, pct) for pct in percents]
    return pl.DataFrame(rows, schema=["hospital", "department", "at", "occupancy_pct"], orient="row")


class Inbox:
    """What an SMTP server was given; it takes nothing for addresses that are ``unknown``."""

    def __init__(self, unknown: Collection[str] = ()) -> None:
        self.mails: list[tuple[list[str], Any]] = []
        self._unknown = unknown

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self._unknown:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 taken"

    @property
    def subjects(self) -> list[str]:
        return [" ".join(mail["Subject"].split()) for _, mail in self.mails]


@contextmanager
def smtp(unknown: Collection[str] = (), **options: Any) -> Iterator[tuple[Inbox, int]]:
    inbox, port = Inbox(unknown), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    try:
        yield inbox, port
    finally:
        controller.stop()


@contextmanager
def teams(status: int = 202, most_bytes: int = 28 * 1024) -> Iterator[tuple[list[Any], str]]:
    cards: list[Any] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_too_large = len(body) > most_bytes
            if not is_too_large:
                cards.append(json.loads(body))
            self.send_response(413 if is_too_large else status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cards, f"http://127.0.0.1:{server.server_address[1]}/secret-path"
        finally:
            server.shutdown()
            thread.join()


def mail_settings(port: int, **more: Any) -> AlertSettings:
    return AlertSettings(
        **{
            "email_to": ("oncall@hospital.example", "chief@hospital.example"),
            "email_from": "flow@hospital.example",
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "smtp_security": "none",
            **more,
        }
    )


# --- channels -------------------------------------------------------------------------------------------------------


def test_a_mail_reaches_everybody_with_its_text() -> None:
    with smtp() as (inbox, port):
        Email(mail_settings(port)).send(NOTICE)
    ((recipients, mail),) = inbox.mails
    assert recipients == ["oncall@hospital.example", "chief@hospital.example"]
    assert mail["Subject"] == NOTICE.subject
    assert "It is down – really." in mail.get_payload(decode=True).decode()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls_with_a_password(security: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.certificate))
    seen: list[bytes] = []

    def authenticator(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        seen.append(data.password)
        return AuthResult(success=True)

    options: dict[str, Any] = {"authenticator": authenticator, "auth_required": True}
    if security == "starttls":
        options |= {"tls_context": context, "require_starttls": True}
    else:
        options |= {"ssl_context": context, "auth_require_tls": False}
    with smtp(**options) as (inbox, port):
        Email(mail_settings(port, smtp_security=security, smtp_user="flow", smtp_password="secret")).send(NOTICE)
    assert inbox.subjects == [NOTICE.subject]
    assert seen == [b"secret"]


def test_an_unknown_certificate_is_refused(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with smtp(tls_context=context) as (inbox, port), pytest.raises(ChannelError, match="CERTIFICATE"):
        Email(mail_settings(port, smtp_security="starttls")).send(NOTICE)
    assert inbox.mails == []


def test_a_mailbox_that_is_refused_is_named_and_the_others_have_the_mail() -> None:
    with smtp(unknown={"chief@hospital.example"}) as (inbox, port):
        left_out = Email(mail_settings(port)).send(NOTICE)
    assert [recipients for recipients, _ in inbox.mails] == [["oncall@hospital.example"]]
    assert "chief@hospital.example" in left_out
    assert "oncall@hospital.example" not in left_out


def test_a_mail_that_no_mailbox_takes_is_not_out() -> None:
    everybody = {"oncall@hospital.example", "chief@hospital.example"}
    with smtp(unknown=everybody) as (inbox, port), pytest.raises(ChannelError, match="no such mailbox"):
        Email(mail_settings(port)).send(NOTICE)
    assert inbox.mails == []


def test_a_card_reaches_teams() -> None:
    with teams() as (cards, address):
        Teams(address).send(NOTICE)
    (card,) = cards
    said = [block["text"] for block in card["attachments"][0]["content"]["body"]]
    assert said[0] == NOTICE.subject
    assert "It is down – really." in said[1]


def test_a_refusal_by_teams_is_reported_without_the_secret_address() -> None:
    with teams(status=429) as (_, address), pytest.raises(ChannelError) as refused:
        Teams(address).send(NOTICE)
    assert "secret-path" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(("words", "left"), [("It is. ", 480), ("Ééé.", 491)])
def test_a_queue_of_any_length_fits_into_a_card_that_teams_takes(words: str, left: int) -> None:
    wards = [
        Firing(
            catalogue.STORE_DOWN,
            Finding(Severity.WARNING, f"Ward {number} is full. {words * 500}", subject=f"Hôpital {number}/Ward"),
        )
        for number in range(500)
    ]
    now = datetime.now(UTC)
    state = update(AlertState(), changes(AlertState(), wards, now), {"Teams": Audience.OPERATOR}, now)
    with teams() as (cards, address):
        state, failures = deliver(state, {"Teams": Teams(address)}, Links())
    assert failures == []
    assert state.outbox == {"Teams": ()}
    (card,) = cards
    assert f"And {left} more" in card["attachments"][0]["content"]["body"][-1]["text"]


# --- the sensor -----------------------------------------------------------------------------------------------------


class Watch:
    """Ticks of the sensor, one after the other, with the cursor in between as the daemon keeps it."""

    def __init__(self, folder: Path, hub: HubThread, instance: dg.DagsterInstance, **settings: str) -> None:
        self.resource = PatientFlow(
            overrides={
                "PATIENT_FLOW_LAKE_URI": f"{folder}/{{layer}}",
                "PATIENT_FLOW_WAREHOUSE_URL": f"sqlite:///{folder}/warehouse.db",
                "PATIENT_FLOW_EVENTHUB_CONNECTION": hub.connection,
                **settings,
            }
        )
        self.instance = instance
        self.cursor: str | None = None
        self.reports: list[dg.AssetMaterialization] = []

    def tick(self) -> str:
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=build_defs(self.resource).get_repository_def(),
        )
        result = alerts(context, patient_flow=self.resource)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        self.reports += [event for event in result.asset_events if isinstance(event, dg.AssetMaterialization)]
        return str(result.skip_reason.skip_message) if result.skip_reason else ""

    def wait(self, minutes: float) -> None:
        """Makes the open alerts so much older."""
        state = AlertState.from_json(self.cursor)
        aged = {key: replace(alert, seen_at=alert.seen_at - 60 * minutes) for key, alert in state.open.items()}
        self.cursor = replace(state, open=aged).to_json()


Watching = Callable[..., Watch]


@pytest.fixture
def watching(tmp_path: Path, hub_thread: HubThread) -> Iterator[Watching]:
    """Makes a watch with the settings it is given."""
    with ExitStack() as stack:
        yield lambda **settings: Watch(
            tmp_path, hub_thread, stack.enter_context(dg.DagsterInstance.ephemeral()), **settings
        )


@pytest.fixture
def both(watching: Watching) -> Iterator[tuple[Watch, Inbox, list[Any]]]:
    with smtp() as (inbox, port), teams() as (cards, address):
        watch = (
            watching(
                PATIENT_FLOW_ALERT_EMAIL_TO="oncall@hospital.example",
                PATIENT_FLOW_ALERT_EMAIL_FROM="flow@hospital.example",
                PATIENT_FLOW_ALERT_SMTP_HOST="127.0.0.1",
                PATIENT_FLOW_ALERT_SMTP_PORT=str(port),
                PATIENT_FLOW_ALERT_SMTP_SECURITY="none",
                PATIENT_FLOW_ALERT_TEAMS_WEBHOOK=address,
            ),
            inbox,
            cards,
        )
        yield watch


def test_an_unreachable_hub_is_delivered_once_to_both_channels_and_once_on_recovery(
    both: tuple[Watch, Inbox, list[Any]], hub_thread: HubThread
) -> None:
    watch, inbox, cards = both
    assert watch.tick() == "no open alerts"
    hub_thread.stop()
    for _ in range(3):
        said = watch.tick()
        assert "1 open: hub down since" in said
        assert said.count("Connection refused") == 1  # the client says it twice
        assert said.endswith("connection fit?")
    hub_thread.start()
    for _ in range(2):
        assert watch.tick() == "no open alerts"
    assert inbox.subjects == ["[patient_flow] critical: hub down", "[patient_flow] resolved: hub down"]
    assert len(cards) == 2


def test_the_asset_of_open_alerts_shows_them_with_what_ended(watching: Watching, hub_thread: HubThread) -> None:
    watch = watching()
    hub_thread.stop()
    watch.tick()
    watch.tick()  # nothing new: no second report
    hub_thread.start()
    watch.tick()
    opened, ended = watch.reports
    assert str(opened.metadata["1 critical"].value).startswith("**hub down**, since ")
    assert opened.description == "1 open for operators (1 critical), 0 for bed management"
    assert opened.metadata["open_for_operators"].value == 1
    assert ended.metadata["operators"].value == ended.metadata["beds"].value == "None."
    assert ": hub down: " in str(ended.metadata["ended"].value)


def test_bed_management_has_its_own_channel(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    monkeypatch.setattr(probes, "last_load", lambda _: now)
    monkeypatch.setattr(probes, "department_hours", lambda *_: icu(now, 99.0))
    monkeypatch.setattr(probes, "delays_now", lambda _: [])
    with smtp() as (inbox, port), teams() as (cards, address):
        watch = watching(
            PATIENT_FLOW_BED_ALERT_EMAIL_TO="beds@hospital.example",
            PATIENT_FLOW_BED_ALERT_TEAMS_WEBHOOK=address,
            PATIENT_FLOW_ALERT_EMAIL_TO="oncall@hospital.example",
            PATIENT_FLOW_ALERT_EMAIL_FROM="flow@hospital.example",
            PATIENT_FLOW_ALERT_SMTP_HOST="127.0.0.1",
            PATIENT_FLOW_ALERT_SMTP_PORT=str(port),
            PATIENT_FLOW_ALERT_SMTP_SECURITY="none",
        )
        watch.tick()
    assert [recipients for recipients, _ in inbox.mails] == [["beds@hospital.example"]]
    assert len(cards) == 1


def test_a_channel_that_is_down_blocks_neither_the_other_nor_its_own_later_message(
    watching: Watching, hub_thread: HubThread
) -> None:
    port = free_port()
    with teams() as (cards, address):
        watch = watching(
            PATIENT_FLOW_ALERT_EMAIL_TO="oncall@hospital.example",
            PATIENT_FLOW_ALERT_EMAIL_FROM="flow@hospital.example",
            PATIENT_FLOW_ALERT_SMTP_HOST="127.0.0.1",
            PATIENT_FLOW_ALERT_SMTP_PORT=str(port),
            PATIENT_FLOW_ALERT_SMTP_SECURITY="none",
            PATIENT_FLOW_ALERT_TEAMS_WEBHOOK=address,
        )
        hub_thread.stop()
        assert "not delivered yet: e-mail through 127.0.0.1" in watch.tick()
        assert len(cards) == 1
        inbox = Inbox()
        controller = Controller(inbox, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            watch.tick()
        finally:
            controller.stop()
        assert len(cards) == 1
    assert inbox.subjects == ["[patient_flow] critical: hub down"]


def test_a_mailbox_that_is_refused_makes_no_others_hear_the_same_again(
    watching: Watching, hub_thread: HubThread
) -> None:
    with smtp(unknown={"left@hospital.example"}) as (inbox, port):
        watch = watching(
            PATIENT_FLOW_ALERT_EMAIL_TO="oncall@hospital.example, left@hospital.example",
            PATIENT_FLOW_ALERT_EMAIL_FROM="flow@hospital.example",
            PATIENT_FLOW_ALERT_SMTP_HOST="127.0.0.1",
            PATIENT_FLOW_ALERT_SMTP_PORT=str(port),
            PATIENT_FLOW_ALERT_SMTP_SECURITY="none",
        )
        hub_thread.stop()
        assert "not delivered to everybody: 127.0.0.1 refused left@hospital.example" in watch.tick()
        watch.tick()
    assert inbox.subjects == ["[patient_flow] critical: hub down"]


def test_without_a_channel_open_alerts_stand_in_the_tick(watching: Watching, hub_thread: HubThread) -> None:
    hub_thread.stop()
    said = watching().tick()
    assert "hub down" in said
    assert "no channel is set" in said


def test_a_failed_run_is_delivered_with_its_step_and_resolves_with_the_next_success(
    both: tuple[Watch, Inbox, list[Any]], hub_thread: HubThread
) -> None:
    watch, inbox, _ = both
    defs = build_defs(watch.resource)
    hub_thread.stop()
    watch.tick()
    job = defs.resolve_job_def(micro_batch.name)
    asked = [dg.AssetKey(["bronze", "patient_events"])]
    options: dict[str, Any] = {"instance": watch.instance, "asset_selection": asked, "raise_on_error": False}
    assert not job.execute_in_process(**options).success
    assert "bronze__patient_events: Event Hub patient-flow at 127.0.0.1:" in watch.tick()
    hub_thread.start()
    assert job.execute_in_process(**options).success
    assert "1 open: run failed: micro_batch" in watch.tick()  # it may fail again: a while is no end
    watch.wait(minutes=5)
    assert watch.tick() == "no open alerts"
    assert "[patient_flow] critical: run failed: micro_batch" in inbox.subjects


DAMAGED = HubFailure(Failure.LAKE_DAMAGED, "A file of bronze is damaged.")
LAKE_DOWN = HubFailure(Failure.LAKE_DOWN, "The lake is away.")
REFUSED = HubFailure(Failure.HUB_REFUSED, "The lake was filled from another hub.")
SLOW = HubStatus(Backlog("hub/h/patient-flow", 0, (), 1, ()), seconds=9)
FINE = HubStatus(Backlog("hub/h/patient-flow", 0, (), 1, ()))
DOWN = HubFailure(Failure.HUB_DOWN, "Connection refused.")
SILENT = HubFailure(Failure.HUB_TIMEOUT, "The hub does not answer within 20 s.")


@pytest.mark.parametrize("away", [DOWN, SILENT], ids=["down", "silent"])
@pytest.mark.parametrize("before", [LAKE_DOWN, REFUSED, SLOW, DAMAGED], ids=["lake", "refused", "slow", "damaged"])
def test_open_alerts_stay_open_and_are_not_delivered_again_while_the_hub_is_unreachable(
    before: HubStatus | HubFailure,
    away: HubFailure,
    both: tuple[Watch, Inbox, list[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watch, inbox, _ = both
    for look in (before, away, before):
        monkeypatch.setattr(hub_probe, "probe_hub", lambda *_, look=look: look)
        watch.tick()
    opened = [subject for subject in inbox.subjects if "resolved" not in subject]
    assert len(opened) == 2  # what was wrong before, and the hub that is away
    assert [subject for subject in inbox.subjects if "resolved" in subject] in (
        [],
        ["[patient_flow] resolved: hub down"],
    )


@pytest.mark.parametrize("failure", Failure)
def test_bronze_is_not_known_to_be_whole_unless_its_log_was_read(failure: Failure) -> None:
    result = probes.judge_hub(HubFailure(failure, "It failed."), datetime.now(UTC), AlertSettings())
    was_read = failure in (Failure.LAKE_DAMAGED, Failure.HUB_REFUSED)
    assert (catalogue.DAMAGED_TABLE.name in result.unknown) is not was_read


def test_without_the_jobs_of_the_repository_a_damaged_table_of_a_run_is_not_over() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = probes.probe_dagster(instance, None, [], datetime.now(UTC), AlertSettings())
    assert catalogue.DAMAGED_TABLE.name in result.unknown


def test_a_hub_that_refuses_and_then_hangs_is_one_alert(
    both: tuple[Watch, Inbox, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, inbox, _ = both
    for look in (DOWN, SILENT, DOWN, SILENT, DOWN, FINE):
        monkeypatch.setattr(hub_probe, "probe_hub", lambda *_, look=look: look)
        watch.tick()
    assert inbox.subjects == ["[patient_flow] critical: hub down", "[patient_flow] resolved: hub down"]


def test_a_store_that_answers_again_is_over_although_the_hub_is_refused(
    both: tuple[Watch, Inbox, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, inbox, _ = both
    for look in (LAKE_DOWN, REFUSED):
        monkeypatch.setattr(hub_probe, "probe_hub", lambda *_, look=look: look)
        watch.tick()
    assert "RESOLVED: store down: lake" in inbox.mails[-1][1].get_payload(decode=True).decode()


def test_a_failed_run_is_not_over_because_other_jobs_ran_since(watching: Watching) -> None:
    watch = watching()
    add_run(watch, "lake_maintenance", FAILURE)
    for _ in range(60):
        add_run(watch, micro_batch.name, SUCCESS)
    assert "1 open: run failed: lake_maintenance" in watch.tick()
    add_run(watch, "lake_maintenance", SUCCESS)
    watch.wait(minutes=5)
    assert watch.tick().startswith("no open alerts")


@pytest.mark.parametrize(("failed", "healed"), [(micro_batch.name, ASSET_JOB), (ASSET_JOB, micro_batch.name)])
def test_micro_batches_and_runs_of_single_assets_heal_each_other(failed: str, healed: str, watching: Watching) -> None:
    watch = watching()
    add_run(watch, failed, FAILURE)
    assert "run failed: micro_batch" in watch.tick()
    add_run(watch, healed, SUCCESS)
    watch.wait(minutes=5)
    assert watch.tick().startswith("no open alerts")


def test_a_failed_backfill_resolves_after_a_day(watching: Watching) -> None:
    watch = watching()
    add_run(watch, backfill.name, FAILURE)
    assert "1 open: run failed: backfill" in watch.tick()
    tomorrow = datetime.now(UTC) + timedelta(hours=24, minutes=1)
    add_run(watch, micro_batch.name, FAILURE)
    jobs = [backfill.name, micro_batch.name]
    assert [run.job for run in finished_runs(watch.instance, jobs, tomorrow)] == [micro_batch.name]


def test_a_run_that_fails_every_other_time_is_delivered_once(both: tuple[Watch, Inbox, list[Any]]) -> None:
    watch, inbox, _ = both
    for status in (FAILURE, SUCCESS, FAILURE, SUCCESS):
        add_run(watch, "lake_maintenance", status)
        watch.tick()
    assert inbox.subjects == ["[patient_flow] warning: run failed: lake_maintenance"]


def add_run(watch: Watch, job: str, status: dg.DagsterRunStatus) -> None:
    watch.instance.add_run(dg.DagsterRun(job_name=job, run_id=str(uuid.uuid4()), status=status))


def test_a_check_that_fails_becomes_an_alert_by_itself(both: tuple[Watch, Inbox, list[Any]]) -> None:
    watch, inbox, _ = both
    for passed in (False, True, False, True):
        evaluate(watch, "gold/data_quality_day", "quarantine_rate_acceptable", passed=passed)
        watch.tick()
    watch.wait(minutes=5)
    watch.tick()
    subject = "check failed: gold/data_quality_day/quarantine_rate_acceptable"
    assert inbox.subjects == [f"[patient_flow] warning: {subject}", f"[patient_flow] resolved: {subject}"]
    assert "Ask the sender" in inbox.mails[0][1].get_payload(decode=True).decode()


def evaluate(watch: Watch, asset: str, check: str, *, passed: bool) -> None:
    watch.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=dg.AssetKey(asset.split("/")),
            check_name=check,
            passed=passed,
            metadata={},
            severity=dg.AssetCheckSeverity.WARN,
            description="Ask the sender about the rules below.",
        )
    )


def test_what_micro_batches_judge_too_is_one_alert_and_not_another_each_hour(watching: Watching) -> None:
    watch = watching()
    evaluate(watch, "audit/whole_history", catalogue.DATA_FRESH.name, passed=False)
    evaluate(watch, "audit/whole_history", catalogue.DEPARTMENT_LIST_CURRENT.name, passed=False)
    assert watch.tick().startswith("no open alerts")
    evaluate(watch, "gold/dim_department", catalogue.DEPARTMENT_LIST_CURRENT.name, passed=False)
    evaluate(watch, "audit/whole_history", catalogue.KEYS_UNIQUE.name, passed=False)  # of older rows
    said = watch.tick()
    assert "2 open" in said
    assert f"gold/dim_department/{catalogue.DEPARTMENT_LIST_CURRENT.name}" in said
    assert f"audit/whole_history/{catalogue.KEYS_UNIQUE.name}" in said


def test_notices_of_the_hub_sensor_are_delivered(both: tuple[Watch, Inbox, list[Any]]) -> None:
    watch, inbox, _ = both
    watch.instance.add_run(
        dg.DagsterRun(
            job_name=micro_batch.name,
            run_id=uuid.uuid4().hex,
            tags={"notices": encode([EventsExpired("1", 3), PartitionAdded("4")])},
        )
    )
    said = watch.tick()
    assert "events expired" in said
    assert "partition added" in said
    assert inbox.subjects == ["[patient_flow] critical: events expired (and 1 more)"]


def test_notices_of_a_manual_run_are_delivered(both: tuple[Watch, Inbox, list[Any]], hub_thread: HubThread) -> None:
    watch, inbox, _ = both
    send(hub_thread, [b"lost"] * 3)
    hub_thread.truncate("patient-flow", "0")
    job = build_defs(watch.resource).resolve_job_def(micro_batch.name)
    asked = [dg.AssetKey(["bronze", "patient_events"])]
    assert job.execute_in_process(instance=watch.instance, asset_selection=asked).success
    assert "Partition 0: retention deleted 3 events before the first read." in watch.tick()
    watch.tick()
    assert inbox.subjects == ["[patient_flow] warning: events expired"]


def test_an_error_of_the_hub_client_opens_no_notice_alert_whatever_its_text(
    watching: Watching, hub_thread: HubThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watching()
    send(hub_thread, [b"%d" % number for number in range(10)])
    add = _Received.add

    def interrupted(received: _Received, batch: list[EventData]) -> None:
        add(received, batch[:3])
        raise ConnectionResetError("the link is newer; the hub was created again and retention dropped 3 events")

    monkeypatch.setattr(_Received, "add", interrupted)
    job = build_defs(watch.resource).resolve_job_def(micro_batch.name)
    bronze = [dg.AssetKey(["bronze", "patient_events"])]
    assert job.execute_in_process(instance=watch.instance, asset_selection=bronze).success
    assert watch.tick().startswith("no open alerts")


def test_a_hub_that_was_recreated_is_an_alert_when_a_run_noticed_it_and_the_hub_is_away_since(
    watching: Watching, hub_thread: HubThread
) -> None:
    watch = watching()
    job = build_defs(watch.resource).resolve_job_def(micro_batch.name)
    bronze = [dg.AssetKey(["bronze", "patient_events"])]
    for _ in range(2):
        send(hub_thread, [b"{}"])
        assert job.execute_in_process(instance=watch.instance, asset_selection=bronze).success
        hub_thread.recreate("patient-flow")
    hub_thread.stop()
    assert "hub recreated since" in watch.tick()


def test_invalid_settings_are_reported_in_the_tick(watching: Watching) -> None:
    watch = watching(PATIENT_FLOW_ALERT_EMAIL_TO="oncall@hospital.example")
    assert "PATIENT_FLOW_ALERT_SMTP_HOST" in watch.tick()


WRONG_LIST = "hospital_id,hospital_name,department,staffed_beds,staff,expected_los_hours,valid_from\n1,A,ICU,many,,,\n"


def test_a_misspelt_setting_is_a_warning(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATIENT_FLOW_CADENCE_SECOND", "10")
    watch = watching()
    assert "PATIENT_FLOW_CADENCE_SECOND (did you mean PATIENT_FLOW_CADENCE_SECONDS?)" in watch.tick()
    assert str(watch.reports[0].metadata["1 warning"].value).startswith(
        "**settings invalid: names of settings**, since"
    )


def test_an_invalid_department_list_is_delivered_and_hides_no_other_alert(
    both: tuple[Watch, Inbox, list[Any]], hub_thread: HubThread, tmp_path: Path
) -> None:
    watch, inbox, _ = both
    place = tmp_path / "departments.csv"
    place.write_text(WRONG_LIST)
    watch.resource = PatientFlow(overrides={**watch.resource.overrides, "PATIENT_FLOW_DEPARTMENTS": str(place)})
    hub_thread.stop()
    said = watch.tick()
    assert "settings invalid since" in said
    assert "line 2: staffed_beds" in said
    assert "hub down since" in said
    place.write_text(WRONG_LIST.replace("many", "4").replace(",,,", ",,,2026-01-01"))
    watch.tick()
    assert "RESOLVED: settings invalid" in inbox.mails[-1][1].get_payload(decode=True).decode()


def test_a_missing_source_mapping_is_delivered(watching: Watching, tmp_path: Path) -> None:
    watch = watching(PATIENT_FLOW_SOURCE_MAPPING=str(tmp_path / "none.toml"))
    assert "1 open: settings invalid since" in watch.tick()


def test_a_list_in_a_lake_that_is_away_is_not_a_wrong_one(watching: Watching, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_probe, "probe_hub", lambda *_: LAKE_DOWN)
    watch = watching(PATIENT_FLOW_DEPARTMENTS="abfss://reference@account.dfs.core.windows.net/departments")
    assert "1 open: store down: lake since" in watch.tick()


@pytest.fixture
def never() -> Iterator[Callable[..., bool]]:
    """A call that does not return while the test lasts."""
    released = threading.Event()
    yield lambda *_: released.wait()
    released.set()


def test_a_department_list_that_never_comes_does_not_hold_the_tick_up(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, never: Callable[..., bool]
) -> None:
    monkeypatch.setattr("patient_flow.services.read_departments", never)
    monkeypatch.setattr(probes, "LIST_SECONDS", 0.2)
    assert "1 open: store down: department list since" in watching().tick()


def test_a_warehouse_that_never_answers_does_not_hold_the_tick_up(
    watching: Watching, monkeypatch: pytest.MonkeyPatch, never: Callable[..., bool]
) -> None:
    monkeypatch.setattr(Warehouse, "query", never)
    monkeypatch.setattr(probes, "WAREHOUSE_SECONDS", 0.2)
    assert "1 open: store down: warehouse since" in watching().tick()


def test_a_silence_is_not_over_because_the_hub_has_forgotten_its_last_event(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = watching()
    for newest in (datetime.now(UTC) - timedelta(hours=7), None):
        monkeypatch.setattr(hub_probe, "probe_hub", lambda *_, newest=newest: dataclasses.replace(FINE, newest=newest))
        assert "1 open: no events" in watch.tick()
    monkeypatch.setattr(hub_probe, "probe_hub", lambda *_: dataclasses.replace(FINE, newest=datetime.now(UTC)))
    assert watch.tick().startswith("no open alerts")


def test_a_full_department_is_not_over_because_there_are_no_figures(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, now = watching(), datetime.now(UTC)
    monkeypatch.setattr(probes, "last_load", lambda _: now)
    monkeypatch.setattr(probes, "delays_now", lambda _: [])
    for percents in ([99.0], []):
        monkeypatch.setattr(probes, "department_hours", lambda *_, percents=percents: icu(now, *percents))
        assert watch.tick().startswith("no faults; 1 for bed management")
    monkeypatch.setattr(probes, "department_hours", lambda *_: icu(now, 50.0))
    assert watch.tick().startswith("no open alerts")


def test_delays_are_judged_by_the_thresholds_of_escalation(tmp_path: Path) -> None:
    file = tmp_path / "escalation.toml"
    file.write_text("delayed_pct = [5, 6, 50]\n")
    services = Services(load(environ={"PATIENT_FLOW_ESCALATION": str(file)}))
    delays = [Delays("St Anna", 100, [NOON] * 10)]
    assert [firing.finding.severity for firing in probes.judge_delays(services, delays, NOON).firings] == [
        Severity.WARNING
    ]
    assert not probes.judge_delays(Services(load(environ={})), delays, NOON).firings


def test_a_file_of_escalation_that_is_wrong_is_an_alert_and_the_built_in_thresholds_hold(tmp_path: Path) -> None:
    file = tmp_path / "escalation.toml"
    file.write_text("delayed_pct = 15\n")
    services = Services(load(environ={"PATIENT_FLOW_ESCALATION": str(file)}))
    (firing,) = probes.probe_lists(services, lake_answers=True).firings
    assert "line 1: delayed_pct must be a list of three numbers" in firing.finding.message
    assert [
        firing.finding.severity
        for firing in probes.judge_delays(services, [Delays("St Anna", 100, [NOON] * 20)], NOON).firings
    ] == [Severity.ERROR]
