"""`smtp`: mail.

The texts of a message come from other peers. So addresses come only from the settings, and each text in a header is one
line of printable characters, which `email.policy` checks again.
"""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from peerscope.errors import ConfigError, DeliveryError
from peerscope.mesh.detection.checks import printable
from peerscope.notify.base import Letter
from peerscope.notify.settings import SmtpConfig, secret_of
from peerscope.notify.wording import subject, text

PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Smtp:
    """One mail server and the addresses to write to."""

    def __init__(self, name: str, config: SmtpConfig) -> None:
        """Raises `ConfigError`."""
        where = f"notify.channels.{name}"
        self._config = config
        self._port = config.port or PORTS[config.security]
        self._password = secret_of(config, name, "secret")
        if bool(config.username) != (self._password is not None):
            variable = f"PEERSCOPE_NOTIFY__CHANNELS__{name.upper()}__SECRET"
            raise ConfigError(
                f"{where}: username and secret go together; set both ({variable}, or secret_file), or none"
            )
        try:
            self._tls = ssl.create_default_context(cafile=config.ca_file or None) if config.security != "none" else None
        except (OSError, ssl.SSLError):
            raise ConfigError(f"{where}.ca_file: {config.ca_file} cannot be read as certificates") from None

    def deliver(self, letter: Letter) -> None:
        """Raises `DeliveryError`, also if the server refused only some of the addresses for good."""
        try:
            self._send(compose(letter, self._config.sender, self._config.to))
        except smtplib.SMTPAuthenticationError as error:
            raise DeliveryError(f"{self._config.host} refuses the password ({error.smtp_code})", again=False) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = {code for code, _ in error.recipients.values()}
            again = any(code < 500 for code in codes)
            raise DeliveryError(f"{self._config.host} refuses all addresses ({max(codes)})", again) from None
        except smtplib.SMTPResponseException as error:
            text = error.smtp_error
            reason = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
            reason = f"{self._config.host} answers {error.smtp_code} {printable(reason)[:80]}"
            raise DeliveryError(reason, again=error.smtp_code < 500) from None
        except smtplib.SMTPNotSupportedError as error:
            raise DeliveryError(f"{self._config.host}: {printable(str(error))[:80]}", again=False) from None
        except (smtplib.SMTPException, OSError) as error:
            reason = printable(str(error) or type(error).__name__)[:160]
            raise DeliveryError(f"{self._config.host} does not answer: {reason}", again=True) from None

    def _send(self, mail: EmailMessage) -> None:
        config = self._config
        with self._connected() as server:
            if config.security == "starttls":
                server.starttls(context=self._tls)
            if self._password is not None:
                server.login(config.username, self._password)
            server.send_message(mail)

    def _connected(self) -> smtplib.SMTP:
        host, timeout_s = self._config.host, self._config.timeout_s
        if self._config.security == "tls":
            return smtplib.SMTP_SSL(host, self._port, timeout=timeout_s, context=self._tls)
        return smtplib.SMTP(host, self._port, timeout=timeout_s)


def compose(letter: Letter, sender: str, to: tuple[str, ...]) -> EmailMessage:
    """Compose the mail. All mails about one group, and about those that it replaces, form one thread."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = subject(letter)
    mail["Date"] = formatdate(letter.at)
    domain = sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{letter.idempotency_key}.{round(letter.at)}@{domain}>"
    mail["References"] = " ".join(f"<{key}@{domain}>" for key in letter.thread_keys)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office replies
    mail.set_content(text(letter))
    return mail
