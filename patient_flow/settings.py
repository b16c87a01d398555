"""The only reader of the environment: every setting, its default for one machine, and what makes it invalid.

Not here: what a setting is used for. Nothing is read at import; call :func:`load`.
"""

from __future__ import annotations

import os
import zoneinfo
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values

from patient_flow.errors import OperatorError

LOCAL_HUB_PORT = 5672
LOCAL_PSEUDONYM_KEY = "patient-flow-local-demo-key"
LAYERS = ("bronze", "silver", "gold")
SMTP_SECURITY = ("starttls", "tls", "none")
WAREHOUSE_KINDS = ("synapse", "mssql", "fabric", "postgresql", "sqlite")


class SettingsError(OperatorError):
    """A setting is missing or makes no sense; the message names it and says what to do."""


def local_hub_connection(port: int = LOCAL_HUB_PORT) -> str:
    """Connection string of the local Event Hub, in the form that the Event Hubs emulator made common."""
    return (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;"
    )


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go and when they open. Without a channel they are only shown in the Dagster UI."""

    teams_webhook: str = field(default="", repr=False)
    email_to: tuple[str, ...] = ()
    email_from: str = ""
    smtp_host: str = ""
    smtp_port: int = 587
    smtp_security: str = "starttls"
    smtp_user: str = ""
    smtp_password: str = field(default="", repr=False)
    ui_url: str = ""
    runbook_url: str = "infra/docs/runbook"
    stale_minutes: int = 15
    silence_hours: int = 6
    quarantine_pct: int = 20
    occupancy_pct: int = 85
    occupancy_critical_pct: int = 95
    occupancy_closes_pct: int = 80
    occupancy_hours: int = 2


@dataclass(frozen=True)
class Settings:
    """All settings, checked. Secrets do not show in its ``repr``."""

    lake_uri: str = "data/{layer}"
    eventhub_connection: str = field(default=local_hub_connection(), repr=False)
    eventhub_namespace: str = ""
    eventhub_name: str = "patient-flow"
    eventhub_consumer_group: str = "$Default"
    warehouse_url: str = field(default="sqlite:///data/warehouse.db", repr=False)
    warehouse_kind: str = "sqlite"
    timezone: str = "Europe/Paris"
    pseudonym_key: str = field(default=LOCAL_PSEUDONYM_KEY, repr=False)
    departments: str = ""
    source_mapping: str = ""
    max_events_per_run: int = 500_000
    dashboard_user_header: str = ""
    dashboard_hospitals_header: str = ""
    dashboard_departments_header: str = ""
    dashboard_trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    dashboard_amber_minutes: int = 15
    dashboard_red_minutes: int = 60
    keep_runs_days: int = 3
    keep_failed_runs_days: int = 30
    alerts: AlertSettings = AlertSettings()

    @property
    def lake_is_local(self) -> bool:
        """True when the lake is a folder of this machine."""
        return "://" not in self.lake_uri or self.lake_uri.startswith("file://")

    @property
    def uses_demo_key(self) -> bool:
        """True when pseudonyms are made with the key that everyone knows."""
        return self.pseudonym_key == LOCAL_PSEUDONYM_KEY

    @property
    def hub_host(self) -> str:
        """Fully qualified namespace of the Event Hub, without a port: half of the hub's identity."""
        if self.eventhub_connection:
            return _endpoint(self.eventhub_connection).hostname or ""
        return self.eventhub_namespace

    @property
    def hub_port(self) -> int:
        """Port of the Event Hub's endpoint; 5672 unless the connection string says another."""
        return _endpoint(self.eventhub_connection).port or LOCAL_HUB_PORT

    @property
    def local_root(self) -> Path:
        """Folder that holds what a local lake holds (the part of ``lake_uri`` before the layer)."""
        return Path(self.lake_uri.removeprefix("file://").partition("{layer}")[0] or ".")


def load(overrides: Mapping[str, str] | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment, with ``.env`` of the working directory below it and ``overrides`` above it.

    Raises :class:`SettingsError` for a value that cannot work.
    """
    from_file = {name: value for name, value in dotenv_values(Path(".env")).items() if value is not None}
    known = {**from_file, **(os.environ if environ is None else environ), **(overrides or {})}

    def get(name: str, default: str) -> str:
        return known.get(f"PATIENT_FLOW_{name}", default).strip()

    defaults = Settings()
    url = get("WAREHOUSE_URL", defaults.warehouse_url)
    namespace = get("EVENTHUB_NAMESPACE", "")
    settings = Settings(
        lake_uri=get("LAKE_URI", defaults.lake_uri),
        # the local hub is the default only where no other is named
        eventhub_connection=get("EVENTHUB_CONNECTION", "" if namespace else defaults.eventhub_connection),
        eventhub_namespace=namespace,
        eventhub_name=get("EVENTHUB_NAME", defaults.eventhub_name),
        eventhub_consumer_group=get("EVENTHUB_CONSUMER_GROUP", defaults.eventhub_consumer_group),
        warehouse_url=url,
        warehouse_kind=get("WAREHOUSE_KIND", "") or _kind_of(url),
        timezone=get("TIMEZONE", defaults.timezone),
        pseudonym_key=get("PSEUDONYM_KEY", "") or LOCAL_PSEUDONYM_KEY,
        departments=get("DEPARTMENTS", ""),
        source_mapping=get("SOURCE_MAPPING", ""),
        dashboard_user_header=get("DASHBOARD_USER_HEADER", ""),
        dashboard_hospitals_header=get("DASHBOARD_HOSPITALS_HEADER", ""),
        dashboard_departments_header=get("DASHBOARD_DEPARTMENTS_HEADER", ""),
        dashboard_trusted_proxies=tuple(
            proxy.strip() for proxy in get("DASHBOARD_TRUSTED_PROXIES", "127.0.0.1,::1").split(",") if proxy.strip()
        ),
        dashboard_amber_minutes=_whole_number("DASHBOARD_AMBER_MINUTES", get("DASHBOARD_AMBER_MINUTES", "15")),
        dashboard_red_minutes=_whole_number("DASHBOARD_RED_MINUTES", get("DASHBOARD_RED_MINUTES", "60")),
        max_events_per_run=_whole_number("MAX_EVENTS_PER_RUN", get("MAX_EVENTS_PER_RUN", "500000")),
        keep_runs_days=_whole_number("KEEP_RUNS_DAYS", get("KEEP_RUNS_DAYS", "3")),
        keep_failed_runs_days=_whole_number("KEEP_FAILED_RUNS_DAYS", get("KEEP_FAILED_RUNS_DAYS", "30")),
        alerts=_alerts(get),
    )
    _check(settings)
    _check_alerts(settings.alerts)
    return settings


def _alerts(get: Callable[[str, str], str]) -> AlertSettings:
    return AlertSettings(
        teams_webhook=get("ALERT_TEAMS_WEBHOOK", ""),
        email_to=tuple(address.strip() for address in get("ALERT_EMAIL_TO", "").split(",") if address.strip()),
        email_from=get("ALERT_EMAIL_FROM", ""),
        smtp_host=get("ALERT_SMTP_HOST", ""),
        smtp_port=_whole_number("ALERT_SMTP_PORT", get("ALERT_SMTP_PORT", "587")),
        smtp_security=get("ALERT_SMTP_SECURITY", "starttls").casefold(),
        smtp_user=get("ALERT_SMTP_USER", ""),
        smtp_password=get("ALERT_SMTP_PASSWORD", ""),
        ui_url=get("ALERT_UI_URL", ""),
        runbook_url=get("ALERT_RUNBOOK_URL", "") or AlertSettings().runbook_url,
        stale_minutes=_whole_number("ALERT_STALE_MINUTES", get("ALERT_STALE_MINUTES", "15")),
        silence_hours=_whole_number("ALERT_SILENCE_HOURS", get("ALERT_SILENCE_HOURS", "6")),
        quarantine_pct=_whole_number("ALERT_QUARANTINE_PCT", get("ALERT_QUARANTINE_PCT", "20")),
        occupancy_pct=_whole_number("ALERT_OCCUPANCY_PCT", get("ALERT_OCCUPANCY_PCT", "85")),
        occupancy_critical_pct=_whole_number("ALERT_OCCUPANCY_CRITICAL_PCT", get("ALERT_OCCUPANCY_CRITICAL_PCT", "95")),
        occupancy_closes_pct=_whole_number("ALERT_OCCUPANCY_CLOSES_PCT", get("ALERT_OCCUPANCY_CLOSES_PCT", "80")),
        occupancy_hours=_whole_number("ALERT_OCCUPANCY_HOURS", get("ALERT_OCCUPANCY_HOURS", "2")),
    )


def _check_alerts(alerts: AlertSettings) -> None:
    if alerts.teams_webhook and not _is_url(alerts.teams_webhook):
        raise SettingsError("PATIENT_FLOW_ALERT_TEAMS_WEBHOOK must be the https address that Teams gave the workflow")
    given = {
        "PATIENT_FLOW_ALERT_EMAIL_TO": bool(alerts.email_to),
        "PATIENT_FLOW_ALERT_EMAIL_FROM": bool(alerts.email_from),
        "PATIENT_FLOW_ALERT_SMTP_HOST": bool(alerts.smtp_host),
    }
    if any(given.values()) and not all(given.values()):
        missing = ", ".join(name for name, is_given in given.items() if not is_given)
        raise SettingsError(f"alerts by e-mail need {missing} as well")
    if not all("@" in address for address in (*alerts.email_to, *filter(None, [alerts.email_from]))):
        raise SettingsError("PATIENT_FLOW_ALERT_EMAIL_TO and _FROM must be addresses, as in oncall@hospital.example")
    if alerts.smtp_security not in SMTP_SECURITY:
        raise SettingsError(f"PATIENT_FLOW_ALERT_SMTP_SECURITY must be one of {', '.join(SMTP_SECURITY)}")
    if alerts.smtp_password and alerts.smtp_security == "none":
        raise SettingsError(
            "PATIENT_FLOW_ALERT_SMTP_PASSWORD would go over the network in clear: set PATIENT_FLOW_ALERT_SMTP_SECURITY "
            "to starttls or tls"
        )
    if not alerts.occupancy_closes_pct <= alerts.occupancy_pct <= alerts.occupancy_critical_pct:
        raise SettingsError(
            "occupancy alerts must close at or below where they open, and open at or below critical: set "
            "PATIENT_FLOW_ALERT_OCCUPANCY_CLOSES_PCT <= PATIENT_FLOW_ALERT_OCCUPANCY_PCT <= "
            "PATIENT_FLOW_ALERT_OCCUPANCY_CRITICAL_PCT"
        )


def _is_url(text: str) -> bool:
    address = urlsplit(text)
    return bool(address.hostname) and (
        address.scheme == "https" or (address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost"))
    )


def _check(settings: Settings) -> None:
    if "{layer}" not in settings.lake_uri:
        raise SettingsError(
            f"PATIENT_FLOW_LAKE_URI must contain {{layer}}, as in data/{{layer}}; it is {settings.lake_uri!r}"
        )
    if not settings.eventhub_connection and not settings.eventhub_namespace:
        raise SettingsError(
            "PATIENT_FLOW_EVENTHUB_CONNECTION is empty: set it, or set PATIENT_FLOW_EVENTHUB_NAMESPACE "
            "(fully qualified, as in NAME.servicebus.windows.net) to sign in with Entra ID"
        )
    if settings.eventhub_connection and not _is_endpoint(_endpoint(settings.eventhub_connection)):
        raise SettingsError(
            "PATIENT_FLOW_EVENTHUB_CONNECTION is not a connection string: it needs Endpoint=sb://HOST[:PORT], "
            "SharedAccessKeyName and SharedAccessKey"
        )
    if settings.warehouse_kind not in WAREHOUSE_KINDS:
        raise SettingsError(f"PATIENT_FLOW_WAREHOUSE_KIND must be one of {', '.join(WAREHOUSE_KINDS)}")
    if (settings.dashboard_hospitals_header or settings.dashboard_departments_header) and (
        not settings.dashboard_user_header
    ):
        raise SettingsError(
            "PATIENT_FLOW_DASHBOARD_USER_HEADER is required where a hospitals or departments header limits what is seen"
        )
    try:
        zoneinfo.ZoneInfo(settings.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        raise SettingsError(
            f"PATIENT_FLOW_TIMEZONE must be an IANA zone such as Europe/Paris; it is {settings.timezone!r}"
        ) from None
    if settings.uses_demo_key and not settings.lake_is_local:
        raise SettingsError(
            "PATIENT_FLOW_PSEUDONYM_KEY is required when the lake is not on this machine: set it to a long random "
            "secret and keep it (python -c 'import secrets; print(secrets.token_hex(32))' makes one)"
        )


def _is_endpoint(endpoint: SplitResult) -> bool:
    try:
        return bool(endpoint.hostname) and (endpoint.port is None or endpoint.port > 0)
    except ValueError:  # the port is no number
        return False


def _kind_of(url: str) -> str:
    scheme = url.partition(":")[0]
    if scheme.startswith("mssql"):
        raise SettingsError(
            "PATIENT_FLOW_WAREHOUSE_KIND must say which SQL Server family the warehouse is: synapse, mssql or fabric"
        )
    kind = scheme.partition("+")[0]
    if kind not in WAREHOUSE_KINDS:
        raise SettingsError(
            "PATIENT_FLOW_WAREHOUSE_URL must be an SQLAlchemy URL that starts with sqlite, postgresql or mssql+pyodbc"
        )
    return kind


def _whole_number(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise SettingsError(f"PATIENT_FLOW_{name} must be a whole number above 0; it is {text!r}")
    return int(text)


def _endpoint(connection: str) -> SplitResult:
    parts = dict(part.partition("=")[::2] for part in connection.split(";") if part)
    return urlsplit(parts.get("Endpoint", ""))
