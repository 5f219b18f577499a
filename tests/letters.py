"""Messages for tests of channels."""

from notices import WALL, alert, group
from peerscope.alerts.notification import Notification
from peerscope.notify.base import Letter, Sender
from peerscope.records.alerts import Severity

SENDER = Sender("testnet", "ab" * 32)


def letter(
    what: str = "firing", severity: str = "high", *, repeat: int = 0, at: float = WALL + 5, **of: object
) -> Letter:
    """A message about one alert, with fields of its group."""
    reason = {"firing": "new", "resolved": "resolved", "escalated": "again"}[what]
    state = "resolved" if what == "resolved" else "firing"
    fields: dict[str, object] = {"alerts": (alert("cpu-high-aa", severity),), "title": "CPU is busy", "state": state}
    about = group("cpu-high-aa", severity, **(fields | of))
    message = Notification(what, reason, about, Severity[severity.upper()], repeat=repeat)  # type: ignore[arg-type]
    return Letter(message, SENDER, at)
