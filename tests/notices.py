"""Notifiers that hear each other, for tests: no network, and time that passes in small steps."""

from collections.abc import Callable, Sequence

from msgspec.structs import astuple

from peerscope.alerts.incident import Incident
from peerscope.alerts.model import Alert
from peerscope.alerts.notification import Notification, NotificationGroup
from peerscope.alerts.notification_log import Heard, Roster
from peerscope.alerts.notifier import Notifier, NotifierState
from peerscope.alerts.notifier_config import NotifierConfig
from peerscope.records.identity import PeerId

WALL = 1_700_000_000.0
"""Unix seconds at time 0."""
STEP_S = 0.25


def alert(name: str = "cpu-high-aa", severity: str = "high", *, started_at: float = WALL, **values: object) -> Alert:
    """An alert that fires."""
    fields = {
        "id": name,
        "type": "resource-exhaustion",
        "rule": name.rpartition("-")[0],
        "severity": severity,
        "title": f"{name} is high",
        "description": "97 % busy",
        "peer_id": "aa" * 32,
        "region": "eu-west",
        "state": "firing",
        "started_at": started_at,
    }
    return Alert(**(fields | values))  # type: ignore[arg-type]


def group(key: str = "cpu-high-aa", severity: str = "high", **values: object) -> NotificationGroup:
    """A group of one alert that fires since time 0."""
    fields: dict[str, object] = {"title": key, "description": "", "alerts": (alert(key, severity),), "started_at": WALL}
    return NotificationGroup(key=key, severity=severity, **(fields | values))  # type: ignore[arg-type]


def incident(name: str, *members: Alert, kind: str = "pattern", state: str = "open", **values: object) -> Incident:
    """An incident of these alerts, as the correlation gives it."""
    fields: dict[str, object] = {
        "severity": "high",
        "title": f"{name} of many",
        "description": "",
        "started_at": min((one.started_at for one in members), default=WALL),
        "updated_at": WALL,
        "ended_at": None,
        "alerts": tuple(one.id for one in members),
        "peers": tuple(sorted({one.peer_id for one in members if one.peer_id is not None})),
        "root": None,
        "confidence": 0.9,
    }
    return Incident(id=name, kind=kind, state=state, **(fields | values))  # type: ignore[arg-type]


def peer(number: int) -> PeerId:
    """Any id."""
    return PeerId(bytes((number,)) * 32)


class Office:
    """Some notifiers, what they sent, and how long their news takes to the others."""

    def __init__(
        self,
        notifiers: int,
        config: NotifierConfig | None = None,
        *,
        delay_s: Callable[[PeerId, PeerId], float] = lambda one, other: 0.1,
    ) -> None:
        self.now = 0.0
        self.step_s = STEP_S
        self.config = config or NotifierConfig()
        self.settle_s = 0.0
        self.notifiers = {peer(n): self.notifier(peer(n)) for n in range(1, notifiers + 1)}
        self.groups: Sequence[NotificationGroup] = ()
        self.sent: list[tuple[float, PeerId, Notification]] = []
        self.answers: Callable[[PeerId, Notification], bool | None] = lambda author, message: True
        """Whether the channels took a message; None while they are at it."""
        self.sees: Callable[[PeerId], Sequence[NotificationGroup]] = lambda observer: self.groups
        self.gone: set[PeerId] = set()
        """Killed, and known to be."""
        self.killed: set[PeerId] = set()
        self.dies_at: Callable[[PeerId, str], bool] = lambda name, step: False
        """Whether a notifier is killed at this step: before a message leaves ("claimed"), before the answer comes
        ("sent"), before the answer is kept ("answered"), or right after ("kept")."""
        self.taken: list[tuple[float, PeerId, Notification]] = []
        """What people got."""
        self.delay_s = delay_s
        self._kept: dict[PeerId, NotifierState] = {}
        self._waiting: dict[PeerId, list[Notification]] = {name: [] for name in self.notifiers}
        self._records: dict[PeerId, list[tuple[float, tuple[Heard, ...]]]] = {name: [] for name in self.notifiers}

    def notifier(self, name: PeerId, **options: object) -> Notifier:
        return Notifier(name, self.config, self.now, settle_s=self.settle_s, **options)  # type: ignore[arg-type]

    def restart(self, name: PeerId) -> None:
        """Start it again, with what it kept."""
        self.notifiers[name] = self.notifier(name, earlier=self._kept.get(name))
        self._waiting[name] = []
        self.killed.discard(name)
        self.gone.discard(name)

    def kill(self, name: PeerId) -> None:
        """Silence at once; the others find out by `gone`."""
        self.killed.add(name)

    def heard_by(self, observer: PeerId) -> list[Heard]:
        """The newest record of every other one that has arrived."""
        found: list[Heard] = []
        for author, records in self._records.items():
            if author != observer:
                arrived = [notices for at, notices in records if at + self.delay_s(author, observer) <= self.now]
                found += arrived[-1] if arrived else ()
        return found

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.now < end:
            self.now += self.step_s
            for name in sorted(self.notifiers):
                if name not in self.killed:
                    self._turn(name)

    def told(self, what: str = "firing") -> list[tuple[float, PeerId, str]]:
        """When who told which group."""
        return [(at, author, m.group.key) for at, author, m in self.sent if m.what == what]

    def _turn(self, name: PeerId) -> None:
        notifier = self.notifiers[name]
        living = tuple(other for other in sorted(self.notifiers) if other not in self.gone)
        messages = notifier.update(
            self.sees(name), self.heard_by(name), Roster(living, living), self.now, WALL + self.now
        )
        self._publish(name)
        for message in messages:
            if self._dies(name, "claimed"):
                return
            self.sent.append((self.now, name, message))
            self._waiting[name].append(message)
        for message in list(self._waiting[name]):
            answer = self.answers(name, message)
            if answer is not None:
                self._waiting[name].remove(message)
                if answer:
                    self.taken.append((self.now, name, message))
                if self._dies(name, "sent"):
                    return
                if answer:
                    notifier.delivered(message)
                else:
                    notifier.failed(message, self.now)
                if self._dies(name, "answered"):
                    return
                self._publish(name)
                if self._dies(name, "kept"):
                    return

    def _dies(self, name: PeerId, step: str) -> bool:
        if self.dies_at(name, step):
            self.kill(name)
        return name in self.killed

    def _publish(self, name: PeerId) -> None:
        notifier = self.notifiers[name]
        self._kept[name] = NotifierState(notifier.notices, notifier.owed)
        notices = tuple(Heard(*astuple(one), peer=name) for one in notifier.notices)
        records = self._records[name]
        if notices != (records[-1][1] if records else ()):
            records.append((self.now, notices))
