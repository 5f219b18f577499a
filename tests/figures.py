"""What documents state in figures, each sentence made from the constants of the code.

`STATED`: a passage as the document has it, with every figure put in from the code. `ELSEWHERE`: passages whose figures
are no constants of ours, with the reason. A figure of these documents stands in one of the two.
"""

import re
from itertools import accumulate
from pathlib import Path

from msgspec import Struct

from peerscope.agent.service import LEAVE_S
from peerscope.alerts.aggregators import ACTING, ELIGIBLE
from peerscope.alerts.alert_list import GRACE_S
from peerscope.alerts.alert_record import VOTES_NEEDED
from peerscope.alerts.engine import LINGER_S, REPEAT_S
from peerscope.alerts.expiry import SOON_RATIO
from peerscope.alerts.lifecycle import FLAP_CHANGES, FLAP_WINDOW_S, REMEMBER_S
from peerscope.alerts.rules import default_rules
from peerscope.alerts.silences import FOR_S_MAX
from peerscope.cli.admit import DAYS, DAYS_MAX
from peerscope.config import Config
from peerscope.history.recorder import FLUSH_S
from peerscope.host.logs import BURST, WINDOW_S
from peerscope.mesh import dial_back, handshake
from peerscope.mesh.coordinates import sampling, vivaldi
from peerscope.mesh.crawling import answers
from peerscope.mesh.detection import unwatched
from peerscope.mesh.detection.detector import OBSERVERS_PER_S, period_s
from peerscope.mesh.detection.doubts import AGAIN_S as DOUBTS_AGAIN_S
from peerscope.mesh.detection.doubts import BURST as DOUBTS_BURST
from peerscope.mesh.detection.doubts import PER_S as DOUBTS_PER_S
from peerscope.mesh.detection.doubts import SHARE as DOUBTS_SHARE
from peerscope.mesh.detection.link import (
    FLAPS_MAX,
    HEARD_S,
    MEASURED_PERIODS,
    RESEND_EVERY,
    WIDE_CHANCE,
    YOUNG,
)
from peerscope.mesh.detection.observers import EXPIRY_INTERVALS, expiry_s
from peerscope.mesh.detection.prober import DRAWN
from peerscope.mesh.detection.refutation import REFUTE_INTERVAL_S
from peerscope.mesh.detection.unwatched import UNHEARD_S
from peerscope.mesh.detection.verdicts import (
    LIARS_MIN,
    LONE_OBSERVER_FACTOR,
    REFUTED_MAX,
    REFUTED_WINDOW_S,
    STAND_S,
    VOTE_STAND_S,
)
from peerscope.mesh.dissemination import gossip
from peerscope.mesh.dissemination.batches import LOAD_BYTES_MAX
from peerscope.mesh.grid import GRID_S
from peerscope.mesh.limits import rate_limit, reputation
from peerscope.mesh.lookups import ANSWERS_BURST, ANSWERS_PER_S
from peerscope.mesh.membership import forgetting, shared_key
from peerscope.mesh.membership.admission import EARLY_MS
from peerscope.mesh.membership.eviction import LONG_KNOWN_S, SILENT_S
from peerscope.mesh.membership.isolation import COMPANY_MAX, RETURN_S
from peerscope.mesh.membership.rings import RINGS
from peerscope.mesh.messages import (
    DOUBTED_MAX,
    FOUND_MAX,
    MESSAGE_BYTES_MAX,
    NEIGHBOURS_MAX,
    NONCE_BYTES,
    WIRE_VERSION,
    WIRE_VERSION_MIN,
    Doubt,
    Find,
    Found,
    Moved,
    Ping,
    Pong,
)
from peerscope.mesh.publisher import ALERT_HOPS, REPEAT_SHARE
from peerscope.mesh.report import BRISK_S, LINKS_SETTLE_TIMEOUT_S, RECORD_BYTES, interval_s
from peerscope.mesh.revocation import REVIEW_S
from peerscope.mesh.zoning.lookup import ANSWER_TIMEOUT_S as ASK_S
from peerscope.mesh.zoning.lookup import TIMEOUT_S as QUESTION_S
from peerscope.mesh.zoning.remote_quota import STRANGERS_MAX
from peerscope.notify.schedule import GAP_S
from peerscope.records import bodies
from peerscope.records.alerts import ORDERS_MAX, STATEMENTS_MAX, WINDOWS_MAX
from peerscope.records.bodies import Report
from peerscope.records.certificates import REVOCATIONS_MAX
from peerscope.records.hosts import TOKEN_BYTES
from peerscope.records.identity import PEER_ID_BYTES
from peerscope.records.ledger import BUCKETS, BURIED_S, TOGETHER_S
from peerscope.records.summary import SUMMARY_BYTES_MAX
from peerscope.transport import accept_policy, iroh, names, ping_path, pings, sealed, wire
from peerscope.views.hosts import NAME_HEX
from peerscope.views.partitions import MEMBERS_MIN, SHARE_MIN
from peerscope.views.peers import SKEW_S
from peerscope.views.verdict_log import SET_BACK_S
from peerscope.web import feed, guard, limits, protocols, server, telemetry

ROOT = Path(__file__).parents[1]
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}
WORDS |= {15: "fifteen", 20: "twenty", 30: "thirty"}
SPANS = {30: "half a minute", 60: "a minute", 900: "a quarter of an hour", 3600: "an hour", 86_400: "a day"}
SPANS |= {0.5: "half a second", 150: "two and a half minutes"}
ONE_SECOND, WEEK, MILLION, TWICE = {1: "a second"}, {7 * 86_400: "week"}, {1e6: "million"}, {2: "twice"}
THOUSAND, LAST, FRACTIONS = {1000: "thousand"}, {1: "last second"}, {0.25: "a quarter"}
PARTS = {0.04: "twenty-fifth", 1 / 12: "twelfth", 0.2: "fifth", 0.25: "quarter"}
CONFIG = Config()
KB, MB = 1024, 1024 * 1024


def word(count: float) -> str:
    """Five, as words."""
    return WORDS.get(count, digits(count))


def digits(count: float) -> str:
    """4,000, as documents have it; 0.5; 5."""
    return f"{count:,.10g}" if count < 1 or count != round(count) else f"{round(count):,}"


def whole(amount: float, unit: float) -> str:
    """So many units, in digits; a figure that is no whole number of them is none that documents could state."""
    assert round(amount / unit) * unit == amount
    return digits(amount / unit)


def span(seconds: float) -> str:
    """A time in words."""
    if seconds in SPANS:
        return SPANS[seconds]
    units = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
    size, name = next((size, name) for size, name in units if seconds >= size)
    return f"{word(seconds / size)} {name}"


def every(seconds: float) -> str:
    """The same behind "every" and "each": a minute, as minute."""
    return span(seconds).removeprefix("an ").removeprefix("a ")


def s(seconds: float) -> str:
    """A time in digits."""
    return f"{digits(seconds)} s"


def _watchdog_s() -> float:
    unit = (ROOT / "contrib/systemd/peerscope.service").read_text(encoding="utf-8")
    found = re.search(r"(?m)^WatchdogSec=(\d+)$", unit)
    assert found is not None
    return float(found[1])


def _shared_key_clears_s() -> float:
    return next(rule.clear_for_s for rule in default_rules() if rule.name == "shared-key")


def _pong_s() -> float:
    found = re.search(r"ws_ping_timeout=([\d.]+)", Path(server.__file__).read_text(encoding="utf-8"))
    assert found is not None
    return float(found[1])


def _number(message: type[Struct]) -> int:
    tag = message.__struct_config__.tag
    assert isinstance(tag, int)
    return tag


assert LEAVE_S <= 3  # so that the process is gone within three seconds
assert reputation.FORGIVE_S == 6 * 3600
_D, _L, _C, _N = CONFIG.detector, CONFIG.limits, CONFIG.crawl, CONFIG.links


def _expiry_s(peers: int) -> float:
    """Seconds until a report is void without another one, in a network of so many peers."""
    return expiry_s(Report(round(_report_s(peers) * 1000), (), ()))


def _report_s(peers: int) -> float:
    """Seconds between reports without a change, in a network of so many peers."""
    report = CONFIG.report
    return interval_s(
        peers,
        shortest_s=report.calm_s,
        budget_bytes_s=CONFIG.gossip.budget_bytes_s,
        reports_s_max=report.reports_s_max,
    )


_EXPIRY_S = _expiry_s(10)


def _watched(observers: int, name: str, unit: str = "", death: str = "") -> str:
    """A line of the table of periods: mean times between drawn pings, all ends counted."""
    longest_s = period_s(observers, CONFIG.detector)
    pings = 60 / (longest_s * sum(DRAWN) / 2)
    first_s = round(longest_s / (observers + 1), 1)
    return (
        f"| {name} | {s(longest_s)} | {round(pings)}{unit} | {round(pings * observers)}{unit} | {s(first_s)}{death} |"
    )


_SAMPLES = 60 / (_D.ping_period_s * sum(DRAWN) / 2)
_W = reputation.WEIGHTS

SECURITY = [
    f"a `hello` of at most {whole(rate_limit.UNGREETED_BYTES_MAX, KB)} kB, and drops everything else unread",
    f"closes a connection after {word(handshake.HELLO_TIMEOUT_S)} seconds without a hello",
    f"dialled sends {NONCE_BYTES} bytes that it never used before",
    f"issue PEER_ID --days {DAYS} -o",
    f"From the last {PARTS[SOON_RATIO]} of a certificate's life on",
    f"room for {REVOCATIONS_MAX} revocations at a time, each for {DAYS_MAX} days",
    f"counts from {span(EARLY_MS / 1000)} before its first moment",
    f"drops the record within {word(REVIEW_S)} seconds of",
    f"orders of other zones ({STRANGERS_MAX[bodies.Kind.ORDERS]} of each kind",
    f"Repeated orders drop it once in {span(forgetting.REPEAT_INTERVAL_S)}",
    f"makes {2 * dial_back.DIALERS * bodies.NODE_ADDRESSES_MAX} connections in {span(dial_back.INTERVAL_S)}, and "
    f"{2 * 2 * RINGS * bodies.NODE_ADDRESSES_MAX} with copied tokens",
    f"| a message | {whole(MESSAGE_BYTES_MAX, KB)} kB | | a ping | {wire.DATAGRAM_BYTES_MAX} bytes |",
    f"| a record's body | {whole(bodies.BODY_BYTES_MAX, KB)} kB |",
    f"and block lists | {whole(bodies.ALERTS_BYTES_MAX, KB)} kB |",
    f"a summary | {whole(SUMMARY_BYTES_MAX, KB)} kB |",
    f"| messages | {digits(_L.messages_per_s)}/s | {digits(_L.messages_burst)} |",
    f"| bytes | {whole(_L.bytes_per_s, 1000)} kB/s | {whole(_L.bytes_burst, 1_000_000)} MB |",
    f"| requests | {digits(_L.requests_per_s)}/s | {digits(_L.requests_burst)} |",
    f"hello and find {rate_limit.HELLO_REQUESTS}, pull 1 and 1 more per {rate_limit.TOPICS_PER_REQUEST} records, "
    "digest 1, crawl 1",
    f"| pings and pongs | {digits(_L.pings_per_s)}/s | {digits(_L.pings_burst)} |",
    f"from any neighbour | {digits(_L.records_per_s)}/s | {digits(_L.records_burst)} |",
    f"read at {digits(wire.MESSAGES_PER_S)} messages and {digits(wire.DATAGRAMS_PER_S)} datagrams a second",
    f"that do not open are dropped: {digits(pings.STRAYS_PER_S)} a second, {digits(pings.STRAYS_BURST)} saved up",
    f"does not read its ping port for {s(pings.DEAF_S)}, and",
    f"An offer within {span(ping_path.OFFER_PAUSE_S)} of the last is refused",
    f"can follow one pair for {span(ping_path.RENEW_S)}",
    f"it halves every {every(reputation.HALF_LIFE_S)}",
    f"| a message longer than any | {digits(_W['oversized-message'])} |",
    f"| a record that its origin did not sign | {digits(_W['forged'])} |",
    f"a ping longer than any | {digits(_W['malformed-message'])} |",
    f"| a message beyond the limits | {digits(_W['flooding'])} |",
    f"From {digits(reputation.WARN_AT)} on a neighbour is **warned**, "
    f"from {digits(reputation.THROTTLE_AT)} **throttled** "
    f"to a {PARTS[reputation.THROTTLED_SHARE]} of the limits, at {digits(reputation.BAN_AT)} **banned**",
    f"for {span(reputation.BAN_S)} the first time, twice as long each further time, "
    f"at most {span(reputation.BAN_S_MAX)}.",
    f"After {span(reputation.FORGIVE_S)} without a ban",
    f"remembers `ledger.origins_max` ({digits(CONFIG.ledger.origins_max)}) others",
    f"known for {span(LONG_KNOWN_S)} makes room only after {span(SILENT_S)} of silence",
    f"`network.prefix_members_max` ({CONFIG.network.prefix_members_max}) members",
    f"At most {iroh.CONNECTIONS_MAX}, of which {accept_policy.HANDSHAKES_MAX} shaking hands.",
    f"From {accept_policy.CROWD} handshakes on",
    f"may begin {digits(accept_policy.PER_PREFIX_S)} handshakes a second "
    f"({digits(accept_policy.PER_PREFIX_BURST)} saved up)",
    f"longer than {span(accept_policy.IDENTITY_TIMEOUT_S)} makes room",
    f"of {handshake.CONNECTIONS_MAX} connections that wait for a hello",
    f"on K = {_N.rings} rings, about {2 * _N.rings}",
    f"by name within {span(REFUTE_INTERVAL_S)}",
    f"more than {s(round(STAND_S - REFUTE_INTERVAL_S, 9))} for the accusation and the answer",
    f"refuted {word(REFUTED_MAX)} times within {span(REFUTED_WINDOW_S)}",
    f"{word(EXPIRY_INTERVALS)} intervals, {s(_EXPIRY_S)} in a small network, and "
    f"{s(_expiry_s(1_000))} with 1,000 peers",
    f"one neighbour may spread {digits(DOUBTS_BURST)} doubts at once, and one more for every {word(1 / DOUBTS_SHARE)} "
    f"members. They return at {digits(DOUBTS_PER_S)}/s",
    f"After {word(guard.TRIES)} wrong tokens an address",
    f"gets one more try every {word(guard.FORGIVEN_AFTER_S)} seconds",
    f"| connections | {server.CONNECTIONS_MAX}; beyond",
    f"| request line and headers | {whole(protocols.HEAD_BYTES_MAX, KB)} kB, "
    f"{s(protocols.TIMEOUT_S[protocols.h11.IDLE])}; as much around",
    f"connections leave {server.DESCRIPTORS_KEPT} of the limit",
    f"a quarter where the limit is below {server.DESCRIPTORS_KEPT * 4 // 3}",
    f"| TLS handshake | {s(server.HANDSHAKE_S)} |",
    f"| body | {whole(limits.BODY_BYTES_MAX, KB)} kB (telemetry {whole(telemetry.BODY_BYTES_MAX, MB)} MB, also "
    f"after unpacking), {s(protocols.TIMEOUT_S[protocols.h11.SEND_BODY])}; "
    f"beyond its answer {whole(protocols.REFUSED_BYTES_MAX, MB)} MB are read",
    f"| answer | {s(protocols.ANSWER_S)}, and {whole(protocols.READ_BYTES_MIN, KB)} kB read in each such time |",
    f"| WebSockets | {feed.CLIENTS_MAX}, at most half",
    f"no pong in {s(_pong_s())}, or",
    f"or {protocols.FRAGMENTS_MAX} fragments of one message",
]

PROTOCOL = [
    f"Version {WIRE_VERSION}.",
    f"until {span(shared_key.STANDS_S)} after it last met it",
    f"(0), {word(shared_key.TIMES_MIN)} newer profiles in a row",
    f"first {span(shared_key.FIRST_S)} to {span(shared_key.FIRST_S + shared_key.SPREAD_S)} after "
    f"it began, then every {whole(shared_key.EVERY_S, 60)} minutes times the number of other zones. It asks "
    f"every {every(shared_key.ASK_INTERVAL_S)} while",
    f"({word(EXPIRY_INTERVALS)} of its own intervals) and when a peer is forgotten ({span(CONFIG.ledger.remember_s)})",
    f"Peers refuse records that are older than {span(CONFIG.ledger.remember_s)}.",
    f"anything newer than {span(CONFIG.ledger.remember_s)} is known",
    f"its profile and its active alerts again every {span(CONFIG.ledger.remember_s * REPEAT_SHARE)}.",
    f"active alerts again every {span(REPEAT_S)}.",
    f"repeats its profile every {span(CONFIG.ledger.remember_s * REPEAT_SHARE)}, because peers refuse a stranger's "
    f"record that is older than {span(CONFIG.ledger.remember_s)}",
    f"is **buried** for {span(BURIED_S)}",
    f"last records lie within {span(TOGETHER_S)} are",
    f"stands {span(handshake.RETRACT_S)} longer than its forgotten subject",
    f"for a {WEEK[forgetting.STANDS_S]}. The version is",
    f"an order more than {s(forgetting.FUTURE_MS / 1000)} beyond that does not count",
    f"more than {span(forgetting.STRANGER_AHEAD_MS / 1000)} beyond the receiver's wall clock",
    f"for {span(forgetting.REPEAT_INTERVAL_S)} no further order drops it",
    "anew after {}, {}, {}, {} and {} seconds".format(*(digits(at) for at in accumulate(wire.ANEW_S))),
    f"has been silent for {s(UNHEARD_S)}. Two",
    f"the stranger is buried for {span(CONFIG.ledger.remember_s)}",
    f"A token is a hash of {TOKEN_BYTES} bytes",
    f"name of a machine is the first {word(NAME_HEX)} digits",
    f"`challenge`, {NONCE_BYTES} bytes never used before",
    f"those bytes, and {NONCE_BYTES} bytes of its own",
    f"after {span(wire.FINISH_TIMEOUT_S)} at the latest",
    f"stand on {word(_N.rings)} **rings**",
    f"about {word(2 * _N.rings)} neighbours",
    f"the other after {ONE_SECOND[_N.dial_grace_s]}",
    f"stays down for {s(_N.ring_hold_s)} leaves",
    f"up to {s(_N.backoff_max_s)} apart",
    f"without any link for {s(RETURN_S)} also dials the last {COMPANY_MAX} peers",
    f"with tag {sealed.OFFER_TAG}: format ({sealed.FORMAT}), UDP port, key id ({sealed.KEY_ID_BYTES} bytes), "
    f"key ({sealed.KEY_BYTES} bytes)",
    f"The end that pings begins, {span(ping_path.SETTLE_S)} after the connection",
    f"renews its key after {span(ping_path.RENEW_S)}, and both do on each new connection. "
    f"It accepts the old one for {span(ping_path.OVERLAP_S)}",
    f"format (1 byte), key id ({sealed.KEY_ID_BYTES}), counter (8), then the sealed part: kind (1), "
    f"highest counter heard (8), data, tag ({sealed.TAG_BYTES})",
    f"**Kinds**: {sealed.PacketKind.PROBE} asks for an answer, {sealed.PacketKind.ANSWER} is that answer, "
    f"{sealed.PacketKind.DATA} carries a datagram",
    f"up to {sealed.WINDOW} behind the highest",
    f"no answer in {s(ping_path.ANSWER_S)} or two round trips",
    f"at pauses of {digits(ping_path.PAUSE_FIRST_S)} to {digits(ping_path.PAUSE_MAX_S)} seconds",
    f"the oldest and the newest wire version of its sender: {WIRE_VERSION_MIN} and {WIRE_VERSION}.",
    f"Agents of versions {WIRE_VERSION_MIN} and {WIRE_VERSION} run together",
    f"Version {WIRE_VERSION} brings news in pings",
    f"with an agent of version {WIRE_VERSION_MIN} a ping goes out once {ONE_SECOND[_D.ping_interval_s]}",
    f"| `ping` ({_number(Ping)}) |",
    f"| `pong` ({_number(Pong)}) |",
    f"| `doubt` ({_number(Doubt)}) | up to {DOUBTED_MAX} peers that did not answer; hops left (0: do not pass on)",
    f"Each draws the next moment within {digits(DRAWN[0])} to {digits(DRAWN[1])} of its **period**",
    _watched(1, "1", " a minute", " after the death"),
    _watched(2, "2"),
    _watched(3, "3"),
    _watched(4, "4"),
    _watched(round(_D.ping_period_s * OBSERVERS_PER_S / _D.ping_interval_s), "8 or more"),
    f"its ends probe {word(1 / _D.probe_interval_s)} times a second",
    f"less than once in a {THOUSAND[round(1 / WIDE_CHANCE)]}, the doubt spreads",
    f"Silence counts from {s(_D.ping_interval_s)} before the first unanswered ping",
    f"no pause below {s(_D.down_after_s - _D.ping_interval_s)} is a death",
    f"is measured {round(60 / (MEASURED_PERIODS * _D.ping_period_s))} to {round(_SAMPLES)} times a minute",
    f"heard within the last {span(HEARD_S)} needs no ping, but each link is measured at least once in "
    f"{word(MEASURED_PERIODS)} periods. A new link has short periods until {word(YOUNG)} exchanges",
    f"measurements at {round(_SAMPLES)} samples a minute",
    f"| {round(8 * 60 / _SAMPLES)} s |",
    f"| {round(_SAMPLES)} steps a minute |",
    f"each at most once {ONE_SECOND[DOUBTS_AGAIN_S]} while the liar goes on",
    f"may spread {digits(DOUBTS_BURST)} doubts at once, and one more for every {word(1 / DOUBTS_SHARE)} members. "
    f"After that it may spread one every {word(1 / DOUBTS_PER_S)} seconds",
    f"rarer, so there the time is longer: {s(_expiry_s(100))} with 100 peers, {s(_expiry_s(1_000))} with 1,000.",
    f"`max({s(_D.silence_floor_s)}, rtt + 4 deviations)`",
    f"less than once in a {MILLION[1 / _D.chance]}",
    f"one accusation of it stands for {s(VOTE_STAND_S)}",
    f"each with `down_after_s` ({s(_D.down_after_s)}) of silence",
    f"needs {word(LONE_OBSERVER_FACTOR)} times that",
    f"must have stood for {s(STAND_S)}. It",
    f"reaches the verdict {s(STAND_S)} later",
    f"or {span(REFUTE_INTERVAL_S)} after its last answer",
    f"weighs from {s(STAND_S)} after its arrival until the answer is there, *c* + {s(REFUTE_INTERVAL_S)} + *d*",
    f"(*c* + {s(REFUTE_INTERVAL_S)} - {s(STAND_S)}) at most",
    f"*c* + *d* is below {s(round(STAND_S - REFUTE_INTERVAL_S, 9))}, and never for longer than *d* + "
    f"{s(REFUTE_INTERVAL_S)} where *c* is below {s(STAND_S)}",
    f"has to stand for {s(STAND_S)} again",
    f"{word(REFUTED_MAX).capitalize()} times within {span(REFUTED_WINDOW_S)}, and its report",
    f"list it ({word(LIARS_MIN)} at least)",
    f"({word(EXPIRY_INTERVALS)} intervals: {s(_EXPIRY_S)} in a small network)",
    f"look for such peers every {s(unwatched.INTERVAL_S)} and dial",
    f"does not answer within {s(unwatched.ANSWER_TIMEOUT_S)} as `unwatched`",
    f"at times, until {word(REFUTED_MAX)} refutations",
    f"take longer than {s(round(STAND_S - REFUTE_INTERVAL_S, 9))} both ways",
    f"Nothing while the observers answer within {s(VOTE_STAND_S)}.",
    f"(more than a {PARTS[SHARE_MIN]} of those known, at least {word(MEMBERS_MIN)}, linked",
    f"in the last {every(_D.flap_hold_s)} gets two, three, {word(FLAPS_MAX + 1)} times the patience",
    f"median says more than {s(SKEW_S)}, views name the peer",
    f"space of {word(CONFIG.coordinates.dimensions)} dimensions",
    f"(median of {word(vivaldi.FILTER)})",
    f"moved by a {PARTS[vivaldi.NEWS_RATIO]} of the round trip",
    f"with every {RESEND_EVERY}th message",
    f"exchanges pings for {span(handshake.VISIT_S)}",
    f"every {s(CONFIG.coordinates.visit_interval_s)} at first, then after each {PARTS[1 / sampling.AGES]} of the "
    f"peer's age, at last every {every(CONFIG.coordinates.visit_interval_s_max)}",
    f"remembers up to {vivaldi.LANDMARKS_MAX} peers whom it measured",
    f"more than {s(vivaldi.RTT_S_MAX)} from the origin, and a round trip above {s(vivaldi.RTT_S_MAX)}",
    f"more than {TWICE[vivaldi.COUNTS]} what is usual. It counts only for that much, and by more than "
    f"{word(vivaldi.ABSURD)} times for nothing. - A step is at most a {PARTS[vivaldi.PACE]}",
    f"at most {whole(bodies.ALERTS_BYTES_MAX, KB)} KiB: {STATEMENTS_MAX} statements",
    f"stays in it for {span(REMEMBER_S)}",
    f"changes {word(FLAP_CHANGES)} times in {span(FLAP_WINDOW_S)}",
    f"A dead peer is forgotten after {span(CONFIG.ledger.remember_s)}",
    f"the {word(ACTING)} peers of a zone with the smallest",
    f"Statements of the first {word(ELIGIBLE)} count",
    f"where {word(VOTES_NEEDED)} of them state it",
    f"over where {word(VOTES_NEEDED)} say so, or {span(GRACE_S)} after fewer than {word(VOTES_NEEDED)} still state it",
    f"no longer aggregator still states its alerts for {span(LINGER_S)}",
    f"at once to {CONFIG.gossip.fanout} random neighbours",
    f"`max(5, ceil(log{CONFIG.gossip.fanout} N) + 2)` hops at most, alerts {word(ALERT_HOPS)}",
    f"for {word(CONFIG.gossip.announce_interval_s)} seconds at most. Then it goes in an `announce` of its own",
    f"first waits {s(gossip.PATIENCE_S)} for the neighbour that sends this record whole",
    f"Records beyond a datagram of {LOAD_BYTES_MAX} bytes go",
    f"Peers measure every {word(CONFIG.report.interval_s)} seconds (`report.interval_s`). A changed status goes out at "
    f"once, a changed link after {ONE_SECOND[LINKS_SETTLE_TIMEOUT_S]}. A report without a change goes out every "
    f"{s(CONFIG.report.calm_s)}",
    f"It is {s(_report_s(100))} at 100 peers, and {s(_report_s(1_000))} at 1,000. A report expires after "
    f"{word(EXPIRY_INTERVALS)} of its own",
    f"at moments {FRACTIONS[GRID_S]} of a second apart",
    f"after {s(CONFIG.gossip.pull_timeout_s)} another",
    f"every {s(CONFIG.sync.interval_s)} with a random neighbour. It sends fingerprints of up to {BUCKETS} ranges",
    f"The interval grows to `peers x {s(1 / CONFIG.report.reports_s_max)}`, up to {span(BRISK_S)},",
    f"and on to `peers x {RECORD_BYTES} bytes / {whole(CONFIG.gossip.budget_bytes_s, 1000)} kB/s`",
    f"`moved` ({_number(Moved)}) says",
    ", ".join(f"`{kind.name.lower()}` ({kind.value})" for kind in sorted(bodies.WORLD)) + " |",
    ", ".join(f"`{kind.name.lower()}` ({kind.value})" for kind in sorted(bodies.WORLD)[:-1])
    + f" and `blocks` ({bodies.Kind.BLOCKS.value}) go",
    f"`find` ({_number(Find)}) carries a number",
    f"answers `found` ({_number(Found)}) with the same number",
    f"at most {word(FOUND_MAX)} peers of that name",
    f"A `find` counts as {word(rate_limit.FIND_REQUESTS)} requests; "
    f"beyond {digits(ANSWERS_PER_S)} answers a second to all "
    f"({digits(ANSWERS_BURST)} at once)",
    f"not answered within {span(ASK_S)} goes to another aggregator, and a question ends after {word(QUESTION_S)}",
    f"links are up, at most {NEIGHBOURS_MAX} and at most {whole(MESSAGE_BYTES_MAX, KB)} kB",
    f"closed after {word(handshake.HELLO_TIMEOUT_S)} seconds like that of anybody",
    f"`crawl.answers_per_s` ({digits(_C.answers_per_s)}, {span(answers.BURST_S)}' worth at once)",
    f"`crawl.answers_per_peer_s` ({digits(_C.answers_per_peer_s)}) to one asker",
]
assert gossip.ttl(2, CONFIG.gossip.fanout) == 5

OPERATIONS = [
    f"stands still for {word(_watchdog_s())} seconds",
    f"a port that does not answer every {digits(ping_path.PAUSE_MAX_S)} seconds",
    "It ends within three seconds.",
    f"prints: {2 * PEER_ID_BYTES} hexadecimal digits",
    f"again after {digits(names.PAUSE_FIRST_S)} second, then at growing pauses of up to {span(names.PAUSE_MAX_S)}.",
    f"waits {digits(names.WAIT_S)} seconds for its names, and takes at most {names.ADDRESSES_MAX} addresses of each",
    f"It holds for a {WEEK[forgetting.STANDS_S]}, and ends",
    f"One peer keeps {ORDERS_MAX} such orders",
    f"{word(BURST)} times {span(WINDOW_S)} at most",
    f"within {whole(shared_key.EVERY_S, 60)} minutes times the number of other zones",
    f"ends {span(_shared_key_clears_s())} after the copy said goodbye",
    f"or {span(shared_key.STANDS_S + _shared_key_clears_s())} after it was killed",
    f"{whole(CONFIG.gossip.budget_bytes_s, 1000)} kB/s at most by default (`gossip.budget_bytes_s`)",
    f"`history.max_bytes` ({whole(CONFIG.history.max_bytes, MB)} MiB)",
    f"Other peers forget it after {span(CONFIG.ledger.remember_s)}",
]

AVAILABILITY = [
    f"A killed agent loses the {word(FLUSH_S)} seconds before the last write.",
    f"A dead peer is found down after about {span(CONFIG.detector.down_after_s)}.",
    f"when the records of a dead peer expire (`ledger.remember_s`, {span(CONFIG.ledger.remember_s)})",
    f"is set back by more than {span(SET_BACK_S)}, everything dated later is dropped",
    f"away for more than {span(CONFIG.ledger.remember_s)} (`ledger.remember_s`)",
    f"the length of each window, up to {whole(FOR_S_MAX, 86_400)} days. Windows begin at least "
    f"{whole(GAP_S, 60)} minutes apart, and do not overlap.",
    f"It publishes the next {digits(WINDOWS_MAX)} windows",
    f"{span(CONFIG.ledger.remember_s)} after its end (`ledger.remember_s`), and at most {digits(WINDOWS_MAX)} windows.",
]

PAGES = {
    "security": (
        "explanation/security.md",
        "explanation/liars.md",
        "reference/limits.md",
        "howto/admission.md",
        "howto/secure-dashboard.md",
        "howto/audit.md",
    ),
    "protocol": (
        "reference/protocol.md",
        "explanation/records.md",
        "explanation/links.md",
        "explanation/detection.md",
        "explanation/alerts.md",
    ),
    "availability": ("howto/availability.md", "howto/maintenance.md"),
    "operations": ("howto/install.md", "howto/operations.md", "howto/backup.md"),
}
"""The documents of a subject."""
STATED = {"security": SECURITY, "protocol": PROTOCOL, "operations": OPERATIONS, "availability": AVAILABILITY}

MEASURED = "measured, not set: the document names the program or the scenario"
ARITHMETIC = "follows from other figures of the passage"
ELSEWHERE = {
    "security": {
        r"drop its peer within a second or two": "the round of a second, and what a busy machine adds",
        r"Within a minute no member is linked": MEASURED,
        r"storm-start with 200 peers, a tenth of 300 killed at once, a partition that heals, 10 % loss": MEASURED,
        r"\| 61 \||\| 75 kB \||\| 15 \||\| 4 \|": MEASURED,
        r"with 10,000 peers takes about 600 messages, 27 MB and 1,000 requests": MEASURED,
        r"openssl rand -hex 16|make fuzz SECONDS=60": "arguments, for the reader to choose",
        r"it is refused \(400\)|closed with code 1013": "codes of HTTP and WebSocket",
        r"dated before 1970|bounded to 0": "no figure that anybody would change",
        r"since iroh opens a second socket": "the next one after the first",
        r"mode 0700\) and the key in it \(0600\)": "held by tests/state",
        r"\d of 8(?! ms)": ARITHMETIC,
        r"\| N \| f \|.*?So the majority": "measured by benchmarks/observers.py",
        r"keys are free: 40 µs": MEASURED,
        r"with chance 2/N\. So it takes N/2 keys per ring on average, N/8": ARITHMETIC,
        r"median, and nine times out of ten less than\).*?The rings thus": "measured by benchmarks/observers.py",
        r"The answer is 429|TLS 1\.2 or later|\(CycloneDX 1\.6\)": "of a standard",
        r"about a millisecond each": MEASURED,
        r"\| [013] \| (?:no advisory|an advisory|the service)": "held by tests/supply",
    },
    "protocol": {
        r"max\(previous \+ 1,": "no figure that anybody would change",
        r"first ping all observers lost:.*?first vain ping at most|0 s ─{10}.*?down ```": "drawings: a measured case",
        r"of k = 8 observers in a network of 100 peers|a peer with eight observers in a network of 100": "that case",
        r"period / \(observers \+ 1\)": "the formula behind the table",
        r"An answer may take the round trip and four deviations, 0\.1 s at least": "held by tests/mesh/detection",
        r"the last 8 samples, smoothed|the last 50 pings \| three minutes": "weights in `mesh/detection/samples.py`",
        r"\(Dabek and others, 2004\)": "the year of a paper",
        r"rules on its own state once a second": "`alerts/monitor.py`, which looks once a second",
        r"revokes the peer, or after 30 days|away for five minutes": "held by tests/alerts",
        r"blake2b\(zone \|\| 0 \|\|": "a byte of the hash, held by tests/golden",
    },
    "availability": {
        r"agree with these changes within 0\.1 %": "held by tests/sim/test_availability.py",
        r"a break of three seconds does not count": "shorter than `down_after_s`",
        r"`down_s` of ten peers that were down for a minute is 600": ARITHMETIC,
        r"a rule of RFC 5545|As RFC 5545 says": "the number of a standard",
        r"--for [12]h|02:30|04:00|22:00|2027-01-15T22:00|unsilence 5b0c91d2": "examples, for the reader to choose",
        r"A window of two hours lasts two hours": "an example",
        r"--since (?:30d|7d)|--for 2h": "arguments, for the reader to choose",
    },
    "operations": {
        r"logs one cause once an hour": "`looks.SILENT_S`, held by tests/test_looks.py",
        r"-hex 16": "an argument, for the reader to choose",
        r"0\.0\.0\.0:4600|example\.org:4600|`localhost:4600`": "examples, for the reader to choose",
        r"\(mode 0600;|UDP port, 4600 in the image, and should have 4601": "held by tests/contrib",
        r"ping_port = 4601": "an example, for the reader to choose",
        r"`doctor` exits with 1 if anything": "held by tests/cli",
        r"about 65 MB and 1\.5 % of a core": "measured by benchmarks/soak.py",
    },
}
