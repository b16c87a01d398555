"""Channels of alerts: e-mail and Microsoft Teams. Each only carries a message that ``monitoring.messages`` wrote."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any, Protocol

from patient_flow.errors import TransientError
from patient_flow.monitoring.messages import Message
from patient_flow.monitoring.rule import Audience
from patient_flow.settings import AlertSettings, Settings

EMAIL_TO = "PATIENT_FLOW_ALERT_EMAIL_TO"
SECONDS = 10.0
"""Timeout of a channel: two of them that are down must leave the tick its time."""


class ChannelError(TransientError):
    """The message was not delivered; the text says why, without secrets. The next tick tries again."""


class Channel(Protocol):
    """Sends one message to its ``audience`` or raises :class:`ChannelError`."""

    audience: Audience

    def send(self, message: Message) -> str:
        """Returns when the server has accepted the message: the recipients it refused, as a sentence, or nothing."""


def channels_of(settings: Settings) -> Mapping[str, Channel]:
    """The channels that are configured, by name: of operators, and of bed management."""
    found: dict[str, Channel] = {}
    if settings.alerts.email_to:
        found["e-mail"] = Email(settings.alerts)
    if settings.alerts.teams_webhook:
        found["Teams"] = Teams(settings.alerts.teams_webhook)
    if settings.bed_alert_email_to:
        to_beds = settings.alerts.model_copy(update={"email_to": settings.bed_alert_email_to})
        found["e-mail to bed management"] = Email(to_beds, Audience.BED_MANAGEMENT)
    if settings.bed_alert_teams_webhook:
        found["Teams of bed management"] = Teams(settings.bed_alert_teams_webhook, Audience.BED_MANAGEMENT)
    return found


class Email:
    """One message to all addresses, through an SMTP server whose certificate is checked."""

    def __init__(self, settings: AlertSettings, audience: Audience = Audience.OPERATOR) -> None:
        """Sends to ``settings.email_to``."""
        self._settings = settings
        self.audience = audience

    def send(self, message: Message) -> str:
        """Hands the message to the server; names the addresses that it refused.

        ``smtplib`` raises when it refused them all. When it accepted one, the message is delivered: sent again for the
        sake of the others, it would reach that one every minute.
        """
        settings = self._settings
        try:
            with self._connected() as server:
                if settings.smtp_password:
                    server.login(settings.smtp_user, settings.smtp_password)
                refused = server.send_message(self._mail(message))
        except (OSError, smtplib.SMTPException) as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise ChannelError(f"e-mail through {settings.smtp_host}:{settings.smtp_port}: {reason}") from error
        if not refused:
            return ""
        variable = "PATIENT_FLOW_BED_ALERT_EMAIL_TO" if self.audience is Audience.BED_MANAGEMENT else EMAIL_TO
        return f"{settings.smtp_host} refused {', '.join(refused)}: correct {variable}"

    def _connected(self) -> smtplib.SMTP:
        settings, context = self._settings, ssl.create_default_context()
        if settings.smtp_security == "tls":
            return smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=SECONDS, context=context)
        server = smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=SECONDS)
        if settings.smtp_security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["From"] = self._settings.email_from
        mail["To"] = ", ".join(self._settings.email_to)
        mail["Subject"] = message.subject
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=self._settings.email_from.rpartition("@")[2])
        mail.set_content(message.body)
        return mail


class Teams:
    """A card in a Teams channel, through the address of a workflow or of an older incoming webhook."""

    def __init__(self, webhook: str, audience: Audience = Audience.OPERATOR) -> None:
        self._webhook = webhook
        self.audience = audience

    def send(self, message: Message) -> str:
        """Posts the card."""
        try:
            from dagster_msteams.adaptive_card import AdaptiveCard
            from dagster_msteams.card import Card
            from dagster_msteams.client import TeamsClient
        except ImportError:
            raise ChannelError("Teams: the package is not installed; install patient-flow[teams]") from None
        from requests import RequestException

        client = TeamsClient(self._webhook, timeout=SECONDS)
        card: Any = Card() if client.is_legacy_webhook() else AdaptiveCard()  # type: ignore[no-untyped-call]
        for paragraph in (message.subject, *message.body.split("\n\n")):
            # Markdown, in which a single line break is none
            card.add_attachment(paragraph.replace("\n", "\n\n"))
        try:
            client.post_message(card.payload)
        except RequestException as error:  # its text may hold the address, which is a secret
            status = getattr(getattr(error, "response", None), "status_code", None)
            raise ChannelError(f"Teams: {type(error).__name__}{f' {status}' if status else ''}") from None
        return ""
