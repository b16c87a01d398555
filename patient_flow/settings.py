"""The only reader of the environment: every setting, its default for one machine, and when its value is rejected.

The use of a setting is not known here. Nothing is read at import; call :func:`load`. A new setting is one field below:
its variable is ``PATIENT_FLOW_`` (in :class:`AlertSettings` ``PATIENT_FLOW_ALERT_``) and its name in capitals.
"""

from __future__ import annotations

import difflib
import os
import re
import zoneinfo
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, ValidationInfo, model_validator
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from patient_flow.contracts.fullness import Limits
from patient_flow.errors import OperatorError
from patient_flow.key_strength import NEW_KEY, weakness
from patient_flow.monitoring import thresholds
from patient_flow.monitoring.rules.disks import Disk
from patient_flow.mounts import network_file_system, room

LOCAL_HUB_PORT = 5672
CADENCE_SECONDS, MIN_CADENCE_SECONDS = 60, 10
LOCAL_PSEUDONYM_KEY = "patient-flow-local-demo-key"
LOCAL_ERASURE_KEY = "patient-flow-local-erasure-key"
LOCAL_ACCESS_LOG_KEY = "patient-flow-local-access-log-key"
_PUBLISHED_KEYS = (LOCAL_PSEUDONYM_KEY, LOCAL_ERASURE_KEY, LOCAL_ACCESS_LOG_KEY)
LAYERS = ("bronze", "silver", "gold")
SMTP_SECURITY = ("starttls", "tls", "none")
MIN_SUPPRESSION = 3
"""With 2 a hidden count could only be 1."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1", "[::1]")
PREFIX = "PATIENT_FLOW_"
_OF_TESTS = tuple(f"{PREFIX}{name}" for name in ("BICEP", "POWERBI_SCHEMAS", "TESTS_MACHINE", "TOOLS", "TSQL_CHECK"))
"""Variables of the tests, which are no settings."""
_LIKE_OURS = re.compile("PATIENT_?FLOW_", re.IGNORECASE)
_OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_\d+_(TCP|UDP|SCTP)", re.IGNORECASE)
"""Variables that Kubernetes sets in each pod for a service that is called ``patient-flow-…``."""
WAREHOUSE_KINDS = ("synapse", "mssql", "fabric", "postgresql", "sqlite")


class SettingsError(OperatorError):
    """A setting is missing or cannot work; the message names it and says what to change."""


def local_hub_connection(port: int = LOCAL_HUB_PORT) -> str:
    """Connection string of the local Event Hub, in the form of Microsoft's Event Hubs emulator."""
    return (
        f"Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=local;SharedAccessKey=local;UseDevelopmentEmulator=true;"
    )


def _whole_number(value: object) -> int:
    text = str(value).strip()
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"must be a whole number above 0; it is {text!r}")
    return int(text)


def _cadence(value: int) -> int:
    if not MIN_CADENCE_SECONDS <= value <= CADENCE_SECONDS:
        raise ValueError(f"must be from {MIN_CADENCE_SECONDS} to {CADENCE_SECONDS}; it is {value}")
    return value


def _comma_separated(value: object) -> object:
    return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value


def _warehouse_kind(value: str, info: ValidationInfo) -> str:
    return value or _kind_of(info.data["warehouse_url"])


def _is_proxy(value: str) -> bool:
    try:
        parts = urlsplit(value)
        return parts.scheme == "http" and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        return False


def _suppression_threshold(value: object) -> int:
    text = str(value).strip()
    if text == "0":
        return 0
    threshold = _whole_number(value)
    if threshold < MIN_SUPPRESSION:
        raise ValueError(f"must be 0 (off) or {MIN_SUPPRESSION} or more; below that nothing would be hidden")
    return threshold


WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Texts = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]


def _blank_means(default: str) -> AfterValidator:
    return AfterValidator(lambda value: value or default)


class _Section(BaseSettings):
    """Settings of one prefix. The constructor takes values as they are given; :meth:`read` reads variables."""

    model_config = SettingsConfigDict(frozen=True, str_strip_whitespace=True, validate_default=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The constructor reads no variables."""
        return (init_settings,)

    @classmethod
    def variables(cls) -> dict[str, str]:
        """Name of each variable → the field that it sets."""
        prefix = cls.model_config["env_prefix"]
        return {f"{prefix}{name}".upper(): name for name in cls.model_fields if name != "alerts"}

    @classmethod
    def read(cls, environ: Mapping[str, str], **more: object) -> Self:
        """The values of ``environ``, then those of ``.env``, then the defaults. Raises :class:`SettingsError`."""
        from_environ = EnvSettingsSource(cls)
        from_environ.env_vars = {name.lower(): value for name, value in environ.items()}
        given = {**_dotenv(cls)(), **from_environ(), **more}
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            variable = f"{cls.model_config['env_prefix']}{first['loc'][0]}".upper()
            raise SettingsError(f"{variable} {first.get('ctx', {}).get('error', first['msg'])}") from None


class AlertSettings(_Section):
    """Channels and thresholds of alerts. Without a channel they are only shown in the Dagster UI."""

    model_config = SettingsConfigDict(env_prefix="PATIENT_FLOW_ALERT_")

    teams_webhook: str = Field(default="", repr=False)
    email_to: Texts = ()
    email_from: str = ""
    smtp_host: str = ""
    smtp_port: WholeNumber = 587
    smtp_security: Annotated[str, AfterValidator(str.casefold)] = "starttls"
    smtp_user: str = ""
    smtp_password: str = Field(default="", repr=False)
    ui_url: str = ""
    runbook_url: Annotated[str, _blank_means("infra/docs/runbook")] = ""
    stale_minutes: WholeNumber = thresholds.DATA_STALE_MINUTES
    silence_hours: WholeNumber = thresholds.NO_EVENTS_HOURS
    quarantine_pct: WholeNumber = thresholds.QUARANTINE_SPIKE_PCT
    occupancy_pct: WholeNumber = thresholds.OCCUPANCY_PCT
    occupancy_critical_pct: WholeNumber = thresholds.OCCUPANCY_CRITICAL_PCT
    occupancy_closes_pct: WholeNumber = thresholds.OCCUPANCY_RESOLVES_PCT
    occupancy_hours: WholeNumber = thresholds.OCCUPANCY_HOURS

    @property
    def occupancy_limits(self) -> Limits:
        """The limits of occupancy that bed alerts and the dashboard share."""
        return Limits(self.occupancy_pct, self.occupancy_critical_pct, self.occupancy_closes_pct, self.occupancy_hours)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.teams_webhook and not _is_url(self.teams_webhook):
            raise SettingsError(
                "PATIENT_FLOW_ALERT_TEAMS_WEBHOOK must be the https address that Teams gave the workflow"
            )
        if not all("@" in address for address in (*self.email_to, *filter(None, [self.email_from]))):
            raise SettingsError(
                "PATIENT_FLOW_ALERT_EMAIL_TO and _FROM must be addresses, as in oncall@hospital.example"
            )
        if self.smtp_security not in SMTP_SECURITY:
            raise SettingsError(f"PATIENT_FLOW_ALERT_SMTP_SECURITY must be one of {', '.join(SMTP_SECURITY)}")
        if self.smtp_password and self.smtp_security == "none":
            raise SettingsError(
                "PATIENT_FLOW_ALERT_SMTP_PASSWORD would go over the network in clear: set "
                "PATIENT_FLOW_ALERT_SMTP_SECURITY to starttls or tls"
            )
        if not self.occupancy_closes_pct <= self.occupancy_pct <= self.occupancy_critical_pct:
            raise SettingsError(
                "occupancy alerts must close at or below where they open, and open at or below critical: set "
                "PATIENT_FLOW_ALERT_OCCUPANCY_CLOSES_PCT <= PATIENT_FLOW_ALERT_OCCUPANCY_PCT <= "
                "PATIENT_FLOW_ALERT_OCCUPANCY_CRITICAL_PCT"
            )
        return self


class Settings(_Section):
    """All settings, checked. Secrets do not show in its ``repr``."""

    model_config = SettingsConfigDict(env_prefix="PATIENT_FLOW_")

    lake_uri: str = "data/{layer}"
    eventhub_namespace: str = ""
    # the local hub is the default only where no other is named
    eventhub_connection: str = Field(
        default_factory=lambda data: "" if data["eventhub_namespace"] else local_hub_connection(), repr=False
    )
    eventhub_name: str = "patient-flow"
    eventhub_consumer_group: str = "$Default"
    eventhub_transport: Literal["amqp", "websockets"] = "amqp"
    http_proxy: str = Field(default="", repr=False)
    warehouse_url: str = Field(default="sqlite:///data/warehouse.db", repr=False)
    warehouse_kind: Annotated[str, AfterValidator(_warehouse_kind)] = ""
    timezone: str = "Europe/Paris"
    pseudonym_key: Annotated[str, _blank_means(LOCAL_PSEUDONYM_KEY)] = Field(default="", repr=False)
    erasure_key: Annotated[str, _blank_means(LOCAL_ERASURE_KEY)] = Field(default="", repr=False)
    access_log_key: Annotated[str, _blank_means(LOCAL_ACCESS_LOG_KEY)] = Field(default="", repr=False)
    access_log_days: WholeNumber = 365
    suppress_below: Annotated[int, BeforeValidator(_suppression_threshold)] = 0
    departments: str = ""
    source_mapping: str = ""
    escalation: str = ""
    chart_notes: str = ""
    extract_rules: str = ""
    max_events_per_run: WholeNumber = 500_000
    cadence_seconds: Annotated[WholeNumber, AfterValidator(_cadence)] = CADENCE_SECONDS
    unconfirmed_days: WholeNumber = 90
    dashboard_user_header: str = ""
    dashboard_hospitals_header: str = ""
    dashboard_departments_header: str = ""
    dashboard_aggregates_header: str = ""
    dashboard_trusted_proxies: Texts = ("127.0.0.1", "::1")
    dashboard_hosts: Texts = LOOPBACK_HOSTS
    dashboard_amber_minutes: WholeNumber = 15
    dashboard_red_minutes: WholeNumber = 60
    bed_alert_teams_webhook: str = Field(default="", repr=False)
    bed_alert_email_to: Texts = ()
    keep_runs_days: WholeNumber = 3
    keep_failed_runs_days: WholeNumber = 30
    alerts: Annotated[AlertSettings, NoDecode] = Field(default_factory=lambda: AlertSettings())

    @property
    def lake_is_folder(self) -> bool:
        """True when the lake is a folder, on a disk of this machine or on a mounted share."""
        return "://" not in self.lake_uri or self.lake_uri.startswith("file://")

    @cached_property
    def lake_share(self) -> str | None:
        """The kind of network file system that the lake's folder is mounted from; None for another lake."""
        return network_file_system(self.local_root) if self.lake_is_folder else None

    @property
    def lake_is_local(self) -> bool:
        """True when the lake is a folder on a disk of this machine: a mounted share is not."""
        return self.lake_is_folder and self.lake_share is None

    @property
    def disks(self) -> tuple[Disk, ...]:
        """The disks of this machine that hold the lake and the warehouse, with their room now."""
        folders = [self.local_root] if self.lake_is_local else []
        file = self.warehouse_url.partition(":///")[2].partition("?")[0] if self.warehouse_kind == "sqlite" else ""
        if file and file != ":memory:":
            folders.append(Path(file).parent)
        disks: dict[int, Disk] = {}
        for folder in folders:
            if (found := room(folder)) is not None:
                device, free, size = found
                disks.setdefault(device, Disk(str(folder.resolve()), free / 2**20, size / 2**20))
        return tuple(disks.values())

    @property
    def pseudonym_key_weakness(self) -> str | None:
        """Why the pseudonym key can be guessed, as the end of a sentence; None for a strong key."""
        return "is the published key of the demo" if self.uses_demo_key else weakness(self.pseudonym_key)

    @property
    def uses_demo_key(self) -> bool:
        """True when pseudonyms are made with the published key of the demo."""
        return self.pseudonym_key == LOCAL_PSEUDONYM_KEY

    @property
    def warehouse_is_local(self) -> bool:
        """True when the warehouse is a file or a server of this machine."""
        return self.warehouse_kind == "sqlite" or urlsplit(self.warehouse_url).hostname in LOOPBACK_HOSTS

    @property
    def uses_demo_access_log_key(self) -> bool:
        """True when the access log is chained with the published key of the demo."""
        return self.access_log_key == LOCAL_ACCESS_LOG_KEY

    @property
    def hub_host(self) -> str:
        """Fully qualified namespace of the Event Hub, without a port: half of the hub's identity."""
        if self.eventhub_connection:
            return _endpoint(self.eventhub_connection).hostname or ""
        return self.eventhub_namespace

    @property
    def hub_port(self) -> int:
        """Port of the Event Hub's endpoint; 5672 unless the connection string has another."""
        return _endpoint(self.eventhub_connection).port or LOCAL_HUB_PORT

    @property
    def hub_client_options(self) -> dict[str, Any]:
        """Options of the Event Hubs clients for transport and proxy; empty for AMQP without a proxy."""
        if self.eventhub_transport == "amqp" and not self.http_proxy:
            return {}
        from azure.eventhub import TransportType

        # A proxy passes HTTPS only, so the client uses WebSockets with one in any case.
        options: dict[str, Any] = {"transport_type": TransportType.AmqpOverWebsocket}
        if self.http_proxy:
            proxy = urlsplit(self.http_proxy)
            options["http_proxy"] = {"proxy_hostname": proxy.hostname, "proxy_port": proxy.port or 80}
            if proxy.username:
                options["http_proxy"] |= {
                    "username": unquote(proxy.username),
                    "password": unquote(proxy.password or ""),
                }
        return options

    @property
    def local_root(self) -> Path:
        """Folder of a local lake: the part of ``lake_uri`` before the layer."""
        address = self.lake_uri.removeprefix("file://")
        return Path((address if address == self.lake_uri else unquote(address)).partition("{layer}")[0] or ".")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{layer}" not in self.lake_uri:
            raise SettingsError(
                f"PATIENT_FLOW_LAKE_URI must contain {{layer}}, as in data/{{layer}}; it is {self.lake_uri!r}"
            )
        if not self.eventhub_connection and not self.eventhub_namespace:
            raise SettingsError(
                "PATIENT_FLOW_EVENTHUB_CONNECTION is empty: set it, or set PATIENT_FLOW_EVENTHUB_NAMESPACE "
                "(fully qualified, as in NAME.servicebus.windows.net) to sign in with Entra ID"
            )
        if self.eventhub_connection and not _is_endpoint(_endpoint(self.eventhub_connection)):
            raise SettingsError(
                "PATIENT_FLOW_EVENTHUB_CONNECTION is not a connection string: it needs Endpoint=sb://HOST[:PORT], "
                "SharedAccessKeyName and SharedAccessKey"
            )
        if self.http_proxy and not _is_proxy(self.http_proxy):
            raise SettingsError("PATIENT_FLOW_HTTP_PROXY must be http://[USER:PASSWORD@]HOST[:PORT]")
        if self.warehouse_kind not in WAREHOUSE_KINDS:
            raise SettingsError(f"PATIENT_FLOW_WAREHOUSE_KIND must be one of {', '.join(WAREHOUSE_KINDS)}")
        if (self.dashboard_hospitals_header or self.dashboard_departments_header) and not self.dashboard_user_header:
            raise SettingsError(
                "PATIENT_FLOW_DASHBOARD_USER_HEADER is required where a hospitals or departments header limits what is "
                "seen"
            )
        if self.dashboard_aggregates_header and not self.suppress_below:
            raise SettingsError(
                "PATIENT_FLOW_DASHBOARD_AGGREGATES_HEADER needs PATIENT_FLOW_SUPPRESS_BELOW: set it to the smallest "
                "count that aggregate readers may see, for example 5"
            )
        self._check_bed_alerts()
        try:
            zoneinfo.ZoneInfo(self.timezone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            raise SettingsError(
                f"PATIENT_FLOW_TIMEZONE must be an IANA zone such as Europe/Paris; it is {self.timezone!r}"
            ) from None
        if not self.lake_is_folder:
            self._require_secrets(
                "PATIENT_FLOW_PSEUDONYM_KEY", "PATIENT_FLOW_ERASURE_KEY", "PATIENT_FLOW_ACCESS_LOG_KEY"
            )
            if len({self.pseudonym_key, self.erasure_key, self.access_log_key}) < 3:
                raise SettingsError(
                    "PATIENT_FLOW_PSEUDONYM_KEY, PATIENT_FLOW_ERASURE_KEY and PATIENT_FLOW_ACCESS_LOG_KEY must be "
                    "three different secrets: whoever gets one must not have the others"
                )
        return self

    def _check_bed_alerts(self) -> None:
        """Both audiences' mails leave through one mail server."""
        if self.bed_alert_teams_webhook and not _is_url(self.bed_alert_teams_webhook):
            raise SettingsError(
                "PATIENT_FLOW_BED_ALERT_TEAMS_WEBHOOK must be the https address that Teams gave the workflow"
            )
        if not all("@" in address for address in self.bed_alert_email_to):
            raise SettingsError("PATIENT_FLOW_BED_ALERT_EMAIL_TO must be addresses, as in beds@hospital.example")
        given = {
            "PATIENT_FLOW_ALERT_EMAIL_TO or PATIENT_FLOW_BED_ALERT_EMAIL_TO": bool(
                self.alerts.email_to or self.bed_alert_email_to
            ),
            "PATIENT_FLOW_ALERT_EMAIL_FROM": bool(self.alerts.email_from),
            "PATIENT_FLOW_ALERT_SMTP_HOST": bool(self.alerts.smtp_host),
        }
        if any(given.values()) and not all(given.values()):
            missing = ", ".join(name for name, is_given in given.items() if not is_given)
            raise SettingsError(f"alerts by e-mail need {missing} as well")

    def require_access_log_key(self) -> None:
        """Raises :class:`SettingsError` when the warehouse is on another machine and the access log has no own key."""
        if not self.warehouse_is_local:
            self._require_secrets("PATIENT_FLOW_ACCESS_LOG_KEY", store="warehouse")

    def _require_secrets(self, *variables: str, store: str = "lake") -> None:
        fields = self.variables()
        missing = [name for name in variables if getattr(self, fields[name]) in _PUBLISHED_KEYS]
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are each'} required when the {store} is not "
                f"on this machine: set a long random secret and keep it ({NEW_KEY} makes one)"
            )
        for name in variables:
            # A weak pseudonym key of an existing lake is an alert: its rotation takes a rebuild.
            if name != "PATIENT_FLOW_PSEUDONYM_KEY" and (why := weakness(getattr(self, fields[name]))):
                raise SettingsError(f"{name} {why}: set a long random secret and keep it ({NEW_KEY} makes one)")


def load(overrides: Mapping[str, str] | None = None, *, environ: Mapping[str, str] | None = None) -> Settings:
    """Settings from ``overrides``, then the environment, then ``.env`` of the working directory, then the defaults.

    Raises :class:`SettingsError` for a value that cannot work.
    """
    given = {**(os.environ if environ is None else environ), **(overrides or {})}
    return Settings.read(given, alerts=AlertSettings.read(given))


def unknown_variables(environ: Mapping[str, str] | None = None) -> str:
    """One sentence about variables that look like settings and are none, each with the nearest name; "" without any.

    They are ignored rather than refused: an older version may be started with the settings of a newer one.
    """
    known = {*Settings.variables(), *AlertSettings.variables()}
    found = {name: "" for name, value in (os.environ if environ is None else environ).items() if _is_ours(name, value)}
    found |= {name.upper(): " in .env" for name, value in _dotenv(Settings).env_vars.items() if _is_ours(name, value)}
    others = sorted(name for name in found if name.upper() not in {*known, *_OF_TESTS})
    named = [f"{name}{found[name]}{_nearest(name, known)}" for name in others]
    one = "is no setting and is" if len(named) == 1 else "are no settings and are"
    return f"{', '.join(named)} {one} ignored" if named else ""


def _is_ours(name: str, value: str | None) -> bool:
    is_address = re.match("(tcp|udp|sctp)://", value or "") is not None
    return _LIKE_OURS.match(name) is not None and _OF_KUBERNETES.search(name) is None and not is_address


def _nearest(name: str, known: Collection[str]) -> str:
    """A question that names the setting that is most like ``name``; "" where none is."""
    ends = [setting.removeprefix(PREFIX) for setting in known]
    matches = difflib.get_close_matches(_LIKE_OURS.sub("", name).upper(), ends, n=1)
    return f" (did you mean {PREFIX}{matches[0]}?)" if matches else ""


def _dotenv(section: type[_Section]) -> DotEnvSettingsSource:
    try:
        return DotEnvSettingsSource(section, env_file=Path(".env"))
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is no text in UTF-8: {error.reason} at byte {error.start}") from None


def _is_url(text: str) -> bool:
    address = urlsplit(text)
    return bool(address.hostname) and (
        address.scheme == "https" or (address.scheme == "http" and address.hostname in ("127.0.0.1", "localhost"))
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


def _endpoint(connection: str) -> SplitResult:
    parts = dict(part.partition("=")[::2] for part in connection.split(";") if part)
    return urlsplit(parts.get("Endpoint", ""))
