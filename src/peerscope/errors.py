"""Every error of peerscope, split by who must act.

PeerscopeError
  RemoteError      a peer broke the protocol: the message is dropped and counted, state unchanged
  TransportError   the network failed: expected, the driver carries on
  SourceError      what measures the node beside us failed: its values are unknown, it is asked again later
  DeliveryError    a channel did not take a message to people: it is tried again, or another peer tells them
  HistoryError     what was kept over time cannot be read or written: the agent goes on in memory
  ConfigError      the operator's file, key or option is wrong: names it and the mend, before anything starts
  ApiError         the command line could not get an answer from a running agent
"""

from __future__ import annotations


class PeerscopeError(Exception):
    """Base of all errors raised by peerscope."""


class RemoteError(PeerscopeError):
    """A peer sent what the protocol forbids.

    `reason` is a short, fixed word under which the refusal is counted; the message may say more.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class TransportError(PeerscopeError):
    """The network or the endpoint failed."""


class SourceError(PeerscopeError):
    """A source could not tell; the message is for people and becomes the reason of a check."""


class DeliveryError(PeerscopeError):
    """A channel did not take a message. The text is for people and holds no secret.

    `again`: another attempt may succeed; `after_s`: not before so long, as the other end asks.
    """

    def __init__(self, reason: str, again: bool, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.again = again
        self.after_s = after_s


class HistoryError(PeerscopeError):
    """The history's file cannot be used, or holds nothing of what was asked; the message says what to do."""


class ConfigError(PeerscopeError):
    """A value the operator gave is wrong; the message names it and says what to do."""


class ApiError(PeerscopeError):
    """An agent's API did not answer, or answered with a problem."""
