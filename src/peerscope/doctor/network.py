"""Checks of a running agent and its network: pure functions over answers of its API."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from peerscope.doctor import Diagnosis, bad, ok, unknown, warn
from peerscope.host.addresses import is_loopback, split_address
from peerscope.host.version import __version__

ADMISSION_REASONS = ("not-a-member", "certificate-expired", "certificate-early", "revoked", "other-network")
FAILING_S = 300.0
"""As in the alert rule PeerscopeRemoteWriteBehind."""
Answer = Mapping[str, Any]


def diagnose(me: Answer, mine: Answer, peers: Sequence[Answer], ready: Answer) -> list[Diagnosis]:
    """`me`: answer of `self`; `mine`: our own entry in `peers`; `ready`: answer of `readyz`."""
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
        *heartbeat(me),
    ]


def web(me: Answer, ready: Answer) -> Diagnosis:
    """Check that the agent is ready. Its API has answered."""
    name = "agent"
    if not ready["ready"]:
        return warn(name, f"runs, but is not ready: {ready['reason']}", "see `neighbours` below; wait a few seconds")
    return ok(name, f"peer {me['short_id']} of network {me['network']!r} answers at {me['http']}")


def key(me: Answer) -> Diagnosis:
    """Check that no other agent uses this peer's key."""
    others = me.get("shared_key", ())
    if not others:
        return ok("key in use", "no other agent found with this key")
    where = "; ".join(", ".join(one["addresses"]) or "an unknown address" for one in others)
    return bad(
        "key in use",
        f"another agent runs with this peer's key, at {where}",
        "stop the agent on the copy, and run there: peerscope init --new-identity --state DIR",
    )


def neighbours(mine: Answer, peers: Sequence[Answer]) -> Diagnosis:
    """Check how many of the expected links are up."""
    check = (mine["checks"] or {}).get("p2p")
    linked, known = len(mine["links"]), len(peers) - 1
    message = f"{linked} links up, {known} other peers known"
    if check is None:
        return unknown("neighbours", f"{message}; not measured yet")
    detail = f"{message}: {check['message']}" if check["message"] else message
    if known == 0 and check["status"] == "healthy":
        return warn("neighbours", detail, "join a network: peerscope run --join TICKET (`run` of any peer prints one)")
    if check["status"] == "healthy":
        return ok("neighbours", message)
    if known == 0:
        advice = "check the certificates (`peerscope alerts`), this machine's network, and [network] of the others"
        return bad("neighbours", detail, advice)
    advice = "check the missing peers (`peerscope peer ID`): are they up, is their UDP port open in the firewall?"
    return (warn if check["status"] == "degraded" else bad)("neighbours", detail, advice)


def skew(mine: Answer) -> Diagnosis:
    """Compare our wall clock with those of the neighbours."""
    found = mine["clock_skew_s"]
    if found is not None:
        way = "ahead of" if found > 0 else "behind"
        return warn("clock against peers", f"{abs(found):.0f} s {way} the neighbours'", "set this machine's clock: NTP")
    if not mine["links"]:
        return unknown("clock against peers", "no neighbour to compare it with")
    return ok("clock against peers", "within five seconds of the neighbours'")


def reach(me: Answer) -> Diagnosis:
    """Check how others can dial us: directly, through a relay, or not at all."""
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
        return bad(name, "no address for other peers to dial", 'set peer.listen, or transport.relay = "default"')
    if all(_is_private(host) for host in hosts):
        advice = 'enough inside one site; across the internet forward the UDP port or set transport.relay = "default"'
        return warn(name, f"private addresses only, without a relay: {', '.join(addresses)}", advice)
    return ok(name, f"direct at {', '.join(addresses)}")


def node(me: Answer, mine: Answer) -> Diagnosis:
    """Check the node, if one is attached."""
    check = (mine["checks"] or {}).get("node")
    if me["node"] is None and check is None:
        return ok("node", "no node is attached")
    if check is None:
        return unknown("node", f"{me['node']}: not measured yet")
    if check["status"] == "healthy":
        return ok("node", f"{me['node']} answers")
    message = f"{me['node'] or 'the node'}: {check['message'] or check['status']}"
    return (bad if check["status"] == "unhealthy" else warn)(
        "node", message, "`peerscope node` shows the source that fails"
    )


def versions(me: Answer, peers: Sequence[Answer]) -> Diagnosis:
    """Compare the versions of peerscope in the network. Patch levels may differ."""
    counts = Counter(peer["version"] for peer in peers if peer["verdict"] in ("alive", "suspect"))
    spread = ", ".join(f"{version}: {count}" for version, count in sorted(counts.items())) or me["version"]
    if len({_minor(version) for version in counts}) > 1:
        return warn("versions", spread, "these versions work together; finish the upgrade when you can")
    if me["version"] != __version__:
        return warn("versions", f"the agent is {me['version']}, this program {__version__}", "restart the agent")
    return ok("versions", spread)


def refused(me: Answer) -> Diagnosis:
    """Check which peers and messages the agent refused."""
    counts: Mapping[str, int] = me["refused"]
    barred = {reason: counts[reason] for reason in ADMISSION_REASONS if counts.get(reason)}
    if barred:
        counted = ", ".join(f"{reason} {count}" for reason, count in barred.items())
        advice = "these are not members, or their [network] differs"
        if "certificate-expired" in barred:
            advice = "`peerscope alerts` shows the members with expired certificates, and the commands that renew them"
        return warn("refused", f"the agent refused peers: {counted}", advice)
    if counts.get("wire-version"):
        return warn(
            "refused", f"wire-version {counts['wire-version']}", "upgrade the agents with an incompatible version"
        )
    return ok("refused", "no peer was refused")


def remote_write(me: Answer) -> list[Diagnosis]:
    """Check whether the receiver of samples accepts them, if one is set."""
    name, found = "remote write", me.get("remote_write")
    if found is None:
        return []
    age_s, waiting = found["last_sent_age_s"], f"{found['queue_samples']} samples wait"
    findings = []
    if found["failing"] is not None:
        since = "none accepted yet" if age_s is None else f"the last were accepted {age_s:.0f} s ago"
        advice = "check the receiver, export.remote_write.url and its credentials; samples wait until the queue is full"
        is_long = age_s is None or age_s > FAILING_S
        findings.append((bad if is_long else warn)(name, f"{found['failing']}; {waiting}, {since}", advice))
    if found["held_samples"]:
        message = f"{found['held_samples']} samples are dated after the network's clock and held back"
        findings.append(warn(name, message, "set this machine's clock: NTP"))
    if found["aside"]:
        refusals = "; ".join(f"{one['samples']} for {one['reason']!r}, last {one['example']}" for one in found["aside"])
        findings.append(
            warn(name, f"the receiver refuses: {refusals}", "docs/reference/remote-write.md lists what stores accept")
        )
    if found["dropped_samples"]:
        message = f"{found['dropped_samples']} samples were lost here: the queue was full, or the disk failed"
        findings.append(warn(name, message, "raise export.remote_write.queue_bytes_max, or free the disk"))
    return findings or [ok(name, f"the receiver accepts samples; {waiting}" if age_s is not None else waiting)]


def heartbeat(me: Answer) -> list[Diagnosis]:
    """Check whether the service outside takes heartbeats, if one is set."""
    name, found = "heartbeat", me.get("heartbeat")
    if found is None:
        return []
    sent = found["counts"]["delivered"]
    if found["last_error"] is not None:
        passed_on = "" if found["has_role"] else "; another peer sends instead, if one has a heartbeat URL"
        advice = "check notify.heartbeat: its URL, and the way from this machine to it"
        return [warn(name, f"{found['last_error']}{passed_on}", advice)]
    return [ok(name, f"{sent} delivered" if sent else "another peer sends it, or it is not due yet")]


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False


def no_agent() -> Diagnosis:
    """No agent uses this state directory."""
    return warn("agent", "no agent runs", "start it: peerscope run")


def other_directory(me: Answer) -> Diagnosis:
    """No agent uses this state directory, but one with another directory answers at its address."""
    message = f"no agent uses this state directory; peer {me['short_id']} of another one answers at {me['http']}"
    return warn("agent", message, f"examine that one: peerscope doctor --api {me['http']}; or give its --state")


def without_api() -> Diagnosis:
    """An agent runs without an API."""
    return unknown("agent", "an agent runs without an API: web.listen is off")


def unreachable(reason: str) -> Diagnosis:
    """An agent should run, but its API does not answer."""
    return bad("agent", reason, "give --api URL as in its ready line, and --token if it requires one")


def other_peer(me: Answer, peer_id: str) -> Diagnosis | None:
    """Report an agent that is not the one of this state directory; None if it is."""
    if me["peer_id"] == peer_id:
        return None
    message = f"the agent at {me['http']} is another peer, {me['short_id']}, not {peer_id[:10]} of this state directory"
    return bad("agent", message, "give the --state and --api of the same agent")
