"""Slack: texts of other peers show as they are, and call nobody."""

from hypothesis import given
from hypothesis import strategies as st

from letters import letter
from notices import alert
from peerscope.host.secret_files import Secret
from peerscope.notify.http import HEADER_MAX, SECTION_MAX, Slack, escape, shortened
from peerscope.notify.settings import SlackConfig
from receiver import Receiver

HOSTILE = "<!channel> & <https://evil.example|click>"


def sent(receiver: Receiver, **of: object) -> dict:
    Slack("chat", SlackConfig(kind="slack", url=Secret(f"{receiver.url}/services/T/B/x"))).deliver(letter(**of))
    return receiver.requests[-1].json


def test_title_text_and_colour_arrive(receiver: Receiver) -> None:
    said = sent(receiver, description="97 % busy")
    assert said["text"] == "[FIRING high] CPU is busy"
    assert said["blocks"][0]["text"]["text"] == "[FIRING high] CPU is busy"
    (attached,) = said["attachments"]
    assert "97 % busy" in attached["blocks"][0]["text"]["text"]
    assert attached["color"] != sent(receiver, what="resolved")["attachments"][0]["color"]


def test_markup_of_other_peers_is_text(receiver: Receiver) -> None:
    said = sent(receiver, title=HOSTILE, description=HOSTILE, root=HOSTILE, incident="pattern")
    texts = [said["text"], said["attachments"][0]["blocks"][0]["text"]["text"]]
    assert all("<" not in text and ">" not in text for text in texts)
    assert "&lt;!channel&gt; &amp;" in texts[0]


def test_a_long_story_keeps_slacks_limits(receiver: Receiver) -> None:
    many = tuple(alert(f"peer-down-{n}", description="<" * 160) for n in range(500))
    said = sent(receiver, alerts=many, title="t" * 500, incident="pattern")
    assert len(said["blocks"][0]["text"]["text"]) <= HEADER_MAX
    assert len(said["attachments"][0]["blocks"][0]["text"]["text"]) <= SECTION_MAX


@given(st.text(st.sampled_from("<>&\nab"), max_size=2000))
def test_no_escape_is_cut_in_two(words: str) -> None:
    cut = shortened(escape(words))
    assert len(cut) <= SECTION_MAX
    assert escape(words).startswith(cut)
    assert cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "").count("&") == 0
