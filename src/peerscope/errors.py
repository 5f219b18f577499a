"""All errors of peerscope, by who must act.

PeerscopeError
  RemoteError      a peer broke the protocol: the message is dropped and counted, state unchanged
  TransportError   the network failed: expected, the driver goes on
  SourceError      a source of the node beside us failed: its values are unknown, the agent asks again later
    NotYetError    it had no chance to measure yet: whether the node runs is unknown
  DeliveryError    a channel did not take a message: this peer tries again, or another peer sends it
  HistoryError     the history cannot be read or written: the agent goes on in memory
  ConfigError      the operator's file, key or option is wrong: names it and the fix, before anything starts
  ApiError         the command line got no answer from a running agent
"""

from __future__ import annotations


class PeerscopeError(Exception):
    """Base of all errors raised by peerscope."""


class RemoteError(PeerscopeError):
    """A peer broke the protocol.

    `reason` is a short, fixed word for the counter of refusals; the message may have more details.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class TransportError(PeerscopeError):
    """The network or the endpoint failed."""


class SourceError(PeerscopeError):
    """A source could not measure; the message is for people and becomes the reason of a check."""


class NotYetError(SourceError):
    """A source waits for the node's first sign of life. It is no failure before that is overdue."""


class DeliveryError(PeerscopeError):
    """A channel did not take a message. The text is for people and holds no secret.

    `again`: another attempt may succeed. `after_s`: the pause before it that the other end asks for.
    """

    def __init__(self, reason: str, again: bool, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.again = again
        self.after_s = after_s


class HistoryError(PeerscopeError):
    """The file of the history cannot be used, or lacks the series; the message says what to do."""


class ConfigError(PeerscopeError):
    """A value of the operator is wrong; the message names it and says what to do."""


class ApiError(PeerscopeError):
    """An agent's API did not answer, or answered with a problem."""
