"""What people read: an end that is no recovery is not called one."""

from letters import letter
from notices import Office, alert, group
from peerscope.notify.http import payload
from peerscope.notify.wording import colour, state, subject, text


def test_what_was_forgotten_is_not_called_resolved_anywhere() -> None:
    gone = letter(
        "resolved", alerts=(alert("peer-down-aa", state="forgotten"),), title="A peer is down", forgotten=True
    )
    assert (state(gone), subject(gone)) == ("FORGOTTEN", "[FORGOTTEN] A peer is down")
    assert "never came back" in text(gone)
    assert "resolved" not in text(gone).lower()
    assert payload(gone)["state"] == "forgotten"
    assert colour(gone) != colour(letter("resolved"))


def test_what_is_over_is_called_resolved() -> None:
    over = letter("resolved")
    assert (state(over), payload(over)["state"]) == ("RESOLVED", "resolved")
    assert "never came back" not in text(over)


def test_an_incident_says_how_many_of_its_alerts_ended_so() -> None:
    alerts = (alert("peer-down-aa", state="forgotten"), alert("peer-down-bb", state="resolved"))
    said = text(letter("resolved", alerts=alerts, incident="pattern", forgotten=True))
    assert "1 of these alerts ended because the network has forgotten their peers" in said
    assert "peer-down-aa is high (forgotten)" in said
    assert "peer-down-bb is high:" in said


def test_the_message_says_why_it_is_over() -> None:
    office = Office(1)
    office.groups = [group()]
    office.run(10.0)
    office.groups = [group(state="resolved", resolved_at=1.0, forgotten=True)]
    office.run(10.0)
    assert [(message.what, message.reason) for _, _, message in office.sent] == [
        ("firing", "new"),
        ("resolved", "forgotten"),
    ]
