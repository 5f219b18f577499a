"""Mail, to a server that is not ours."""

import contextlib
import email
import email.policy
import socket
import warnings
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from certificates import serving
from letters import letter
from notices import alert
from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.secret_files import Secret
from peerscope.notify.settings import SmtpConfig
from peerscope.notify.smtp import Smtp, compose

HEADERS = {"from", "to", "subject", "date", "message-id", "references", "auto-submitted"}
HEADERS |= {"content-type", "content-transfer-encoding", "mime-version"}
FROM, TO = "peerscope@example.org", ("ops@example.org", "night@example.org")


class Post:
    """Keeps every mail; refuses addresses at refused.example."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refusal = "550 no such mailbox"

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:
        if address.endswith("@refused.example"):
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((envelope.rcpt_tos, mail))
        return "250 OK"


@contextlib.contextmanager
def server(**options: Any) -> Iterator[tuple[Post, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    post = Post()
    controller = Controller(post, hostname="127.0.0.1", port=port, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aiosmtpd's own
        controller.start()
        try:
            yield post, port
        finally:
            controller.stop()


def smtp(port: int, **values: Any) -> Smtp:
    fields = {"host": "127.0.0.1", "port": port, "security": "none", "sender": FROM, "to": TO, "timeout_s": 10.0}
    return Smtp("mail", SmtpConfig(kind="smtp", **(fields | values)))


def test_a_mail_reaches_all_addresses() -> None:
    with server() as (post, port):
        smtp(port).deliver(letter(description="97 % busy"))
    ((recipients, mail),) = post.mails
    assert recipients == list(TO)
    assert mail["subject"] == "[FIRING high] CPU is busy"
    assert mail["auto-submitted"] == "auto-generated"
    assert "97 % busy" in mail.get_content()
    assert "Id: cpu-high-aa" in mail.get_content()


def test_mails_about_one_group_are_one_thread() -> None:
    first, last = (compose(letter(what), FROM, TO) for what in ("firing", "resolved"))
    assert first["references"] == last["references"]
    assert first["message-id"] != last["message-id"]


@pytest.mark.parametrize(
    "text", ["x\r\nBcc: evil@example.org", "x\nSubject: other", "x\r\n\r\nbody", "a\x00\x1b[31mb\u2028c"]
)
def test_no_text_of_another_peer_can_add_a_header(text: str) -> None:
    told = letter(title=text, description=text, root=text, incident="pattern", alerts=(alert(title=text),))
    mail = email.message_from_bytes(bytes(compose(told, FROM, TO)), policy=email.policy.default)
    assert {name.lower() for name in mail} == HEADERS
    assert len(mail) == len(HEADERS)
    assert "\n" not in mail["subject"]


def test_starttls_is_spoken_and_the_password_given(tmp_path: Path) -> None:
    place, context = serving(tmp_path)
    asked: list[tuple[bytes, bytes]] = []

    def authenticate(_: Any, __: Any, ___: Any, ____: Any, data: LoginPassword) -> AuthResult:
        asked.append((data.login, data.password))
        return AuthResult(success=data.password == b"hunter2", handled=False)

    options = {"tls_context": context, "require_starttls": True, "authenticator": authenticate}
    with server(**options, auth_required=True) as (post, port):
        secure = {"security": "starttls", "ca_file": str(place), "username": "bot"}
        smtp(port, **secure, secret=Secret("hunter2")).deliver(letter())
        with pytest.raises(DeliveryError, match="refuses the password") as told:
            smtp(port, **secure, secret=Secret("wrong")).deliver(letter())
    assert len(post.mails) == 1
    assert (told.value.again, "wrong" in str(told.value)) == (False, False)
    assert asked[0] == (b"bot", b"hunter2")


def test_tls_from_the_start(tmp_path: Path) -> None:
    place, context = serving(tmp_path)
    with server(ssl_context=context) as (post, port):
        smtp(port, security="tls", ca_file=str(place)).deliver(letter())
    assert len(post.mails) == 1


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    _, context = serving(tmp_path)
    with server(tls_context=context) as (post, port):
        with pytest.raises(DeliveryError, match="certificate"):
            smtp(port, security="starttls").deliver(letter())
    assert post.mails == []


def test_a_server_without_starttls_gets_no_mail_in_the_clear() -> None:
    with server() as (post, port):
        with pytest.raises(DeliveryError, match="STARTTLS") as told:
            smtp(port, security="starttls").deliver(letter())
    assert (post.mails, told.value.again) == ([], False)


@pytest.mark.parametrize(("refusal", "again"), [("550 no such mailbox", False), ("451 come back later", True)])
def test_refused_addresses_are_told(refusal: str, again: bool) -> None:
    with server() as (post, port):
        post.refusal = refusal
        with pytest.raises(DeliveryError, match="refuses all addresses") as told:
            smtp(port, to=("a@refused.example",)).deliver(letter())
        assert told.value.again is again
        smtp(port, to=("a@refused.example", "ops@example.org")).deliver(letter())
    assert len(post.mails) == 1


def test_no_server_is_a_reason_to_try_again() -> None:
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1 does not answer") as told:
        smtp(1).deliver(letter())
    assert told.value.again


def test_a_user_without_password_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="NOTIFY__CHANNELS__MAIL__SECRET"):
        smtp(1, username="bot")
    with pytest.raises(ConfigError, match=r"notify\.channels\.mail\.ca_file"):
        smtp(1, security="tls", ca_file="/nonexistent")
