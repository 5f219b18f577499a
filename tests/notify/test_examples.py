"""An incident in every channel, as `notify-test --example incident` sends it: the cause comes first."""

import email
import email.policy
import socket
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from letters import SENDER
from notices import alert, group
from peerscope.alerts.incident import Alternative
from peerscope.alerts.notification import Notification
from peerscope.notify.base import Letter
from peerscope.notify.examples import EXAMPLES
from peerscope.notify.wording import state, subject, text
from peerscope.records.alerts import Severity
from receiver import Receiver

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # of apprise, on Python 3.11 and 3.12
Outcome = tuple[int, str, str]
KINDS = ("webhook", "slack", "alertmanager", "apprise", "smtp")


class Post:
    """Keeps every mail."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@pytest.fixture
def post() -> Iterator[tuple[Post, int]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    post = Post()
    controller = Controller(post, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield post, port
    finally:
        controller.stop()


def in_order(words: str, *parts: str) -> bool:
    places = [words.find(part) for part in parts]
    assert -1 not in places, f"{parts[places.index(-1)]!r} is missing in {words!r}"
    return places == sorted(places)


PARTS = (
    "Probable cause: the machine 5f3a9c04, 99% sure.",
    "Concerned: 7 peers, ×7 cpu-high",
    "All 7 peers that share it are affected, and no other peer.",
    "Do first: Look at this machine first",
    "- ×7 cpu-high: The processor is exhausted: a7a7a7a7a7, a6a6a6a6a6, a5a5a5a5a5 and 4 more",
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_channel_gets_the_incident_and_leads_with_its_cause(
    peerscope: Callable[..., Outcome],
    receiver: Receiver,
    post: tuple[Post, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inbox, port = post
    monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__SLACK__URL", f"{receiver.url}/slack")
    monkeypatch.setenv("PEERSCOPE_NOTIFY__CHANNELS__APPRISE__URL", receiver.url.replace("http", "json") + "/apprise")
    file = tmp_path / "settings.toml"
    tables = {kind: [f'kind = "{kind}"'] for kind in KINDS}
    tables["webhook"].append(f'url = "{receiver.url}/webhook"')
    tables["alertmanager"].append(f'url = "{receiver.url}"')
    tables["smtp"] += ['host = "127.0.0.1"', f"port = {port}", 'security = "none"']
    tables["smtp"] += ['sender = "a@example.org"', 'to = ["b@example.org"]']
    file.write_text("\n".join(line for kind in KINDS for line in (f"[notify.channels.{kind}]", *tables[kind])))
    code, said, complaint = peerscope("notify-test", "--example", "incident", "--config", str(file))
    assert (code, complaint, said.count("delivered")) == (0, "", len(KINDS)), said
    bodies = {request.path: request.json for request in receiver.requests}
    title = "EXAMPLE: Machine 5f3a9c04: 7 of 7 peers report cpu-high"

    hook = bodies["/webhook"]
    assert (hook["title"], hook["severity"], hook["alerts_total"]) == (title, "critical", 7)
    assert hook["incident"]["kind"] == "host"
    assert hook["incident"]["root"] == "5f3a9c04"
    assert hook["incident"]["alternatives"] == []
    assert len(hook["incident"]["evidence"]) == 3
    assert hook["incident"]["first_step"].startswith("Look at this machine")
    assert [(one["rule"], one["count"]) for one in hook["concerned"]] == [("cpu-high", 7)]
    assert all(one["runbook"] and one["metadata"]["threshold"] == "0.9" for one in hook["alerts"])

    slack = bodies["/slack"]["attachments"][0]["blocks"][0]["text"]["text"]
    assert bodies["/slack"]["text"] == f"[FIRING critical] {title}"
    assert in_order(slack, *PARTS)
    assert (bodies["/apprise"]["title"], in_order(bodies["/apprise"]["message"], *PARTS)) == (
        f"[FIRING critical] {title}",
        True,
    )
    (mail,) = inbox.mails
    assert mail["subject"].strip() == f"[FIRING critical] {title}"
    assert in_order(mail.get_content(), *PARTS)

    posts = bodies["/api/v2/alerts"]
    assert len(posts) == 7
    for one in posts:
        notes = one["annotations"]
        assert notes["incident"] == title
        assert notes["cause"] == PARTS[0]
        assert "All 7 peers that share it" in notes["evidence"]
        assert notes["first_step"].startswith("Look at this machine")
        assert one["endsAt"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1)), "no one keeps it"


def test_a_short_test_says_that_it_is_one_and_names_no_cause(receiver: Receiver) -> None:
    words = text(Letter(EXAMPLES["test"](1.7e9, ""), SENDER, 1.7e9))
    assert "This is a test of the channel" in words
    for absent in ("cause", "Concerned", "Evidence", "Do first"):
        assert absent not in words


def told(reason: str = "new", **of: Any) -> str:
    members = tuple(
        alert(f"cpu-high-{n:02}", peer_id=f"{n:04}" * 16, title="Too busy") for n in range(of.pop("size", 3))
    )
    about = group("host-1", incident="host", alerts=members, **({"confidence": 0.9, "root": "m1"} | of))
    return text(Letter(Notification("firing", reason, about, Severity.HIGH), SENDER, 1.7e9))  # type: ignore[arg-type]


def test_a_known_root_is_named_and_none_where_two_causes_are_nearly_as_likely() -> None:
    assert told().startswith("Probable cause: the machine m1, 90% sure.\nConcerned: 3 peers, ×3 cpu-high\n")
    close = (Alternative("host", "m1", 0.5), Alternative("region", "eu", 0.3))
    either = told(root=None, confidence=0.8, alternatives=close)
    assert either.startswith("Either the machine m1 (50%) or a cause that region eu shares (30%).\n")


def test_split_merged_and_another_kind_are_one_sentence_each_and_absent_otherwise() -> None:
    words = told("update", split_from="region-outage-eu-1", merged=("pattern-1", "pattern-2"), was="cascade")
    assert "It was reported as a cascade before." in words
    assert "Its alerts were part of region-outage-eu-1 before." in words
    assert "It holds the alerts of pattern-1, pattern-2 too." in words
    assert "This updates an earlier message. Nothing got worse." in words
    plain = told()
    for absent in ("before", "holds the alerts", "updates", "Evidence", "Do first"):
        assert absent not in plain


def test_an_update_is_no_page() -> None:
    about = group("host-1", incident="host", confidence=0.9)
    update = Letter(Notification("updated", "update", about, Severity.CRITICAL, repeat=1), SENDER, 1.7e9)
    assert (state(update), subject(update)) == ("UPDATE critical", "[UPDATE critical] host-1")
    first = Letter(Notification("firing", "new", about, Severity.CRITICAL), SENDER, 1.7e9)
    joined = Letter(Notification("firing", "update", about, Severity.CRITICAL), SENDER, 1.7e9)
    assert len({update.idempotency_key, first.idempotency_key, joined.idempotency_key}) == 3


def test_thousands_of_alerts_are_a_few_lines() -> None:
    words = told(size=2000)
    assert "×2000 cpu-high" in words
    assert len(words.splitlines()) < 20
