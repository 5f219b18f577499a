"""What a running agent says of itself and of the network, judged: pure functions over answers of its API."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from peerscope import __version__
from peerscope.doctor.findings import Diagnosis, bad, ok, unknown, warn
from peerscope.host.addresses import is_loopback, split_address

ADMISSION_REASONS = ("not-a-member", "certificate-expired", "certificate-early", "revoked", "other-network")
FAILING_S = 300.0
"""As the alert rule PeerscopeRemoteWriteBehind."""
Answer = Mapping[str, Any]


def judged(me: Answer, mine: Answer, peers: Sequence[Answer], ready: Answer) -> list[Diagnosis]:
    """`me`: of `self`; `mine`: our own entry in `peers`; `peers`: all of them; `ready`: of `readyz`."""
    return [
        web(me, ready),
        key(me),
        neighbours(mine, peers),
        skew(mine),
        reach(me),
        node(me, mine),
        versions(me, peers),
        refused(me),
        *remote_write(me),
    ]


def web(me: Answer, ready: Answer) -> Diagnosis:
    """The API answered, or we would not be here; is the agent ready?"""
    name = "agent"
    if not ready["ready"]:
        return warn(
            name, f"runs, but is not ready: {ready['reason']}", "look at `neighbours` below; wait a few seconds"
        )
    return ok(name, f"peer {me['short_id']} of network {me['network']!r} answers at {me['http']}")


def key(me: Answer) -> Diagnosis:
    """Whether this peer's key is its own."""
    others = me.get("shared_key", ())
    if not others:
        return ok("key in use", "by this agent alone, as far as it can see")
    where = "; ".join(", ".join(one["addresses"]) or "an unknown address" for one in others)
    return bad(
        "key in use",
        f"another agent runs with this peer's key, at {where}",
        "stop the agent on the copy, and run there: peerscope init --new-identity --state DIR",
    )


def neighbours(mine: Answer, peers: Sequence[Answer]) -> Diagnosis:
    """Links that are up, of those that the rings ask for."""
    check = (mine["checks"] or {}).get("p2p")
    linked, known = len(mine["links"]), len(peers) - 1
    message = f"{linked} links up, {known} other peers known"
    if check is None:
        return unknown("neighbours", f"{message}; not measured yet")
    detail = f"{message}: {check['message']}" if check["message"] else message
    if known == 0 and check["status"] == "healthy":
        return warn("neighbours", detail, "join a network: peerscope run --join TICKET (any peer's `run` prints one)")
    if check["status"] == "healthy":
        return ok("neighbours", message)
    if known == 0:
        advice = "look at the certificates (`peerscope alerts`), this machine's network, and [network] of the others"
        return bad("neighbours", detail, advice)
    advice = "see `peerscope peer` of those that are missing: are they up, is their UDP port open in the firewall?"
    return (warn if check["status"] == "degraded" else bad)("neighbours", detail, advice)


def skew(mine: Answer) -> Diagnosis:
    """Our wall clock against our neighbours'."""
    found = mine["clock_skew_s"]
    if found is not None:
        way = "ahead of" if found > 0 else "behind"
        return warn("clock against peers", f"{abs(found):.0f} s {way} the neighbours'", "set this machine's clock: NTP")
    if not mine["links"]:
        return unknown("clock against peers", "no neighbour to compare with")
    return ok("clock against peers", "within five seconds of the neighbours'")


def reach(me: Answer) -> Diagnosis:
    """Where others can dial us: directly, through a relay, or not at all."""
    name, addresses, relay = "reachability", tuple(me["addresses"]), me.get("relay")
    hosts = [split_address(address, "address")[0] for address in addresses]
    if hosts and all(is_loopback(host) for host in hosts):
        return ok(name, f"this machine only: {', '.join(addresses)}")
    if relay is not None and relay["mode"] != "disabled":
        if relay["home"] is None:
            return warn(
                name, f"no relay reached; direct at {', '.join(addresses) or 'nowhere'}", "is HTTPS allowed out?"
            )
        return ok(name, f"relay {relay['home']}; direct at {', '.join(addresses) or 'nowhere'}")
    if not addresses:
        return bad(name, "no address to be dialled at", 'set peer.listen, or transport.relay = "default"')
    if all(_is_private(host) for host in hosts):
        advice = 'fine inside one site; across the internet forward the UDP port or set transport.relay = "default"'
        return warn(name, f"private addresses only, without a relay: {', '.join(addresses)}", advice)
    return ok(name, f"direct at {', '.join(addresses)}")


def node(me: Answer, mine: Answer) -> Diagnosis:
    """The program beside us, where there is one."""
    check = (mine["checks"] or {}).get("node")
    if me["node"] is None and check is None:
        return ok("node", "none is attached")
    if check is None:
        return unknown("node", f"{me['node']}: not measured yet")
    if check["status"] == "healthy":
        return ok("node", f"{me['node']} answers")
    message = f"{me['node'] or 'the node'}: {check['message'] or check['status']}"
    return (bad if check["status"] == "unhealthy" else warn)(
        "node", message, "`peerscope node` names the source that fails"
    )


def versions(me: Answer, peers: Sequence[Answer]) -> Diagnosis:
    """Which versions of peerscope the network runs; patch levels go together without a word."""
    counts = Counter(peer["version"] for peer in peers if peer["verdict"] in ("alive", "suspect"))
    spread = ", ".join(f"{version}: {count}" for version, count in sorted(counts.items())) or me["version"]
    if len({_minor(version) for version in counts}) > 1:
        return warn("versions", spread, "they run together; finish the upgrade when you can")
    if me["version"] != __version__:
        return warn("versions", f"the agent is {me['version']}, this program {__version__}", "restart the agent")
    return ok("versions", spread)


def refused(me: Answer) -> Diagnosis:
    """What others sent in vain."""
    counts: Mapping[str, int] = me["refused"]
    barred = {reason: counts[reason] for reason in ADMISSION_REASONS if counts.get(reason)}
    if barred:
        told = ", ".join(f"{reason} {count}" for reason, count in barred.items())
        advice = "strangers, or members whose [network] differs"
        if "certificate-expired" in barred:
            advice = "`peerscope alerts` names the members whose certificates ended, and the commands that renew these"
        return warn("refused", f"peers were turned away: {told}", advice)
    if counts.get("wire-version"):
        return warn(
            "refused", f"wire-version {counts['wire-version']}", "agents of a version too far from ours: upgrade"
        )
    return ok("refused", "nobody was turned away")


def remote_write(me: Answer) -> list[Diagnosis]:
    """The receiver of samples, where one is set: does it take them, and which ones does it not take?"""
    name, found = "remote write", me.get("remote_write")
    if found is None:
        return []
    age_s, waiting = found["last_sent_age_s"], f"{found['queue_samples']} samples wait"
    findings = []
    if found["failing"] is not None:
        since = "nothing was taken yet" if age_s is None else f"the last were taken {age_s:.0f} s ago"
        advice = (
            "see to the receiver, export.remote_write.url and its credentials; samples wait until the queue is full"
        )
        is_long = age_s is None or age_s > FAILING_S
        findings.append((bad if is_long else warn)(name, f"{found['failing']}; {waiting}, {since}", advice))
    if found["held_samples"]:
        message = f"{found['held_samples']} samples are dated after the network's clock and held back"
        findings.append(warn(name, message, "set this machine's clock: NTP"))
    if found["aside"]:
        told = "; ".join(f"{one['samples']} for {one['reason']!r}, last {one['example']}" for one in found["aside"])
        findings.append(warn(name, f"the receiver does not take: {told}", "see docs/reference/remote-write.md"))
    if found["dropped_samples"]:
        message = f"{found['dropped_samples']} samples were lost here: the queue was full, or the disk failed"
        findings.append(warn(name, message, "raise export.remote_write.queue_bytes_max, or free the disk"))
    return findings or [ok(name, f"the receiver takes samples; {waiting}" if age_s is not None else waiting)]


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def nobody() -> Diagnosis:
    """No agent runs on this state directory."""
    return warn("agent", "none runs", "start it: peerscope run")


def elsewhere(me: Answer) -> Diagnosis:
    """No agent runs on this state directory, but one of another answers where ours would."""
    message = f"none runs on this state directory; peer {me['short_id']} of another one answers at {me['http']}"
    return warn("agent", message, f"examine that one: peerscope doctor --api {me['http']}; or give its --state")


def mute() -> Diagnosis:
    """One runs that cannot be asked."""
    return unknown("agent", "one runs, without an API to ask: web.listen is off")


def silent(why: str) -> Diagnosis:
    """One runs, or so we were told, and did not answer."""
    return bad("agent", why, "give --api URL as its ready line has it, and --token if it wants one")


def stranger(me: Answer, peer_id: str) -> Diagnosis | None:
    """The agent that answers is not the one whose state we look at."""
    if me["peer_id"] == peer_id:
        return None
    message = f"the agent at {me['http']} is another peer, {me['short_id']}, not {peer_id[:10]} of this state directory"
    return bad("agent", message, "give the --state or the --api that belongs to the other")
