// The state of the network, and of the page.
//
// Everything on the screen derives from these signals. `apply` is the only writer of the first
// group. It replaces a Map instead of changing it, so that an old Map stays one consistent state,
// and a new identity means a change.

import { batch, computed, signal, untracked } from "./vendor/preact.js";
import { isNumber, plain } from "./format.js";
import { STATUSES, knownStatus } from "./statuses.js";
import { alertsAt, linksAt, statusesAt } from "./replay.js";

const NO_SHAPE = { hollow: [], articulation_peers: [], partitions: [] };
const NO_TROUBLE = { firing: {}, incidents: [], silences: [] };

/** The network now, even while the past is shown. */
export const live = {
  health: signal(null),
  verdicts: signal({}),
  peers: signal(new Map()),
  links: signal(new Map()),
  shape: signal(NO_SHAPE),
  /** Active alerts by id. */
  alerts: signal(new Map()),
  /** {firing, incidents, silences}: counts of firing alerts by severity, and their groups. */
  trouble: signal(NO_TROUBLE),
};

/** The last hour, if the user opened it, and its visible Unix second, null for now. */
export const recording = signal(null);
export const instant = signal(null);
export const isPast = computed(() => recording.value !== null && instant.value !== null);

export const me = signal(null);
export const peers = shown(live.peers, () => pastPeers.value);
/** By both ends and layer; an end is a `ref`. */
export const links = shown(live.links, () => linksAt(recording.value, instant.value));
/** {hollow, articulation_peers, partitions}: the shape of the network. */
export const shape = shown(live.shape, () => pastShape.value);
export const health = shown(live.health, () => pastHealth.value);
/** Peers by verdict. */
export const verdicts = shown(live.verdicts, () => ({}));
export const alerts = shown(live.alerts, () => alertsAt(recording.value, instant.value));
export const trouble = shown(live.trouble, () => ({ ...NO_TROUBLE, firing: bySeverity(alerts.value) }));
export const regions = signal([]);
export const trends = signal(null);
/** Offset from our monotonic seconds to the peer's Unix seconds; null before the first message. */
const epoch = signal(null);
/** Our monotonic seconds at the last message; null before the first. */
export const heardAt = signal(null);

/** {name: connecting | live | waiting | refused, retryAt} as the feed last reported it. */
export const feed = signal({ name: "connecting", retryAt: null });
/** Ticks once a second, for ages and the clock. */
export const now = signal(monotonic());

/** The visible panel. */
export const panel = signal("topology");
export const selected = signal(null);
export const hovered = signal(null);
export const search = signal("");
export const statusFilter = signal(new Set());
export const layer = signal(null);

/** Digits of a peer's id that name it on links. */
const REF_DIGITS = 16;

export function monotonic() {
  return performance.now() / 1000;
}

/** Apply one message of the feed. Missing fields do not change. */
export function apply(message) {
  const data = message.data ?? {};
  const time = monotonic();
  const fresh = message.type === "snapshot";
  batch(() => {
    heardAt.value = time;
    if (isNumber(message.timestamp)) epoch.value = message.timestamp - time;
    if (fresh || data.self) me.value = data.self ?? null;
    if (fresh || data.health) live.health.value = data.health ?? null;
    if (fresh || data.verdicts) live.verdicts.value = data.verdicts ?? {};
    if (fresh || data.map) live.shape.value = data.map ?? NO_SHAPE;
    if (fresh || data.trouble) live.trouble.value = data.trouble ?? NO_TROUBLE;
    if (fresh || data.regions) regions.value = data.regions ?? [];
    if (fresh || data.trends) trends.value = data.trends ?? null;
    table(live.peers, fresh, data.peers, (peer) => peer.peer_id, readable);
    table(live.alerts, fresh, data.alerts, (alert) => alert.id);
    table(live.links, fresh, data.links, (link) => `${link.source} ${link.target} ${link.layer}`);
  });
}

/** Replace a table by the rows of a snapshot, or change it: `gone` and `fields` name rows by their `n`. */
function table(shown, fresh, data, key, made = (row) => row) {
  if (fresh) shown.value = new Map((data ?? []).map((row) => [key(row), made(row)]));
  else if (data) shown.value = changed(shown.value, data, key, made);
}

function changed(rows, { new: added = [], gone = [], fields = {} }, key, made) {
  const next = new Map(rows);
  const byNumber = new Map();
  for (const row of rows.values()) byNumber.set(row.n, row);
  for (const number of gone) next.delete(key(byNumber.get(number)));
  for (const row of added) next.set(key(row), made(row));
  // Rows are replaced, not changed: an older Map still has them.
  const copies = new Map();
  for (const [name, values] of Object.entries(fields)) {
    for (const [number, value] of values) {
      if (!copies.has(number)) copies.set(number, { ...byNumber.get(number) });
      if (value === null) delete copies.get(number)[name];
      else copies.get(number)[name] = value;
    }
  }
  for (const row of copies.values()) next.set(key(row), made(row));
  return next;
}

/** The present value, or the value at the visible time in the past. */
function shown(now, then) {
  return computed(() => (isPast.value ? then() : now.value));
}

/** Unix seconds by the peer's clock, or virtual seconds of a simulation. */
export function wall() {
  if (epoch.value === null) return Date.now() / 1000;
  const pace = simulation.value?.pace ?? simulation.value?.speed ?? 1;
  return epoch.value + heardAt.value + (now.value - heardAt.value) * pace;
}

/** The progress of a simulated network; null for a real one. */
export const simulation = computed(() => me.value?.simulation ?? null);

/** The peer as sent, with its name in links and its names for people. */
export function readable(peer) {
  const id = String(peer.peer_id);
  return {
    ...peer,
    ref: id.slice(0, REF_DIGITS),
    status: knownStatus(peer.status),
    shown: plain(id.slice(0, 10), 16),
    place: plain(peer.region, 40),
    accused_by: peer.accused_by ?? 0,
    observers: peer.observers ?? 0,
    monitored: true,
  };
}

/** Seconds since the peer's last report was issued; null before the first. */
export function ageOf(peer) {
  return isNumber(peer.heard_at) ? Math.max(0, wall() - peer.heard_at) : null;
}

/** Whether a peer is down or left, so that it has no measurements. */
export function isGone(peer) {
  return isNumber(peer.gone_since);
}

/** All nodes of the map by `ref`: peers, and unmonitored nodes known from links. */
export const nodes = computed(() => {
  const found = new Map();
  for (const peer of peers.value.values()) if (peer.status !== "left") found.set(peer.ref, peer);
  for (const { name, layer: seenIn, claimed_by: claimedBy } of shape.value.hollow) {
    if (found.has(name)) continue;
    const shown = plain(name.slice(name.indexOf(":") + 1), 16);
    found.set(name, { ref: name, peer_id: null, shown, place: "", status: "unknown", verdict: null, monitored: false, layer: seenIn,
      claimants: claimedBy?.length ?? 0 });
  }
  return found;
});

/** Peers in the past: their status, and their known details. */
const pastPeers = computed(() => {
  if (!isPast.value) return new Map();
  const known = recording.value.peersNow;
  const found = new Map();
  for (const [id, status] of statusesAt(recording.value, instant.value)) {
    const { peer_id, version, region, region_source, node, address } = known.get(id) ?? { peer_id: id };
    found.set(id, readable({ peer_id, version, region, region_source, node, address, status, verdict: VERDICTS_THEN[status] }));
  }
  return found;
});

/** Verdicts by status. A status without a report has none. */
const VERDICTS_THEN = { healthy: "alive", degraded: "alive", unhealthy: "alive", down: "down", left: "left" };

/** The shape in the past; cut points are not recorded. */
const pastShape = computed(() => {
  const ends = new Set([...links.value.values()].flatMap(({ source, target }) => [source, target]));
  return { ...NO_SHAPE, hollow: untracked(() => live.shape.value).hollow.filter(({ name }) => ends.has(name)) };
});

const pastHealth = computed(() => ({
  total_peers: peers.value.size - perStatus.value.left,
  ...Object.fromEntries(STATUSES.map((status) => [`${status}_peers`, perStatus.value[status]])),
}));

function bySeverity(found) {
  const totals = {};
  for (const { severity, state } of found.values()) if (state === "firing") totals[severity] = (totals[severity] ?? 0) + 1;
  return totals;
}

/** Nodes of the layout. In the past, present nodes are included, so that peers keep their places. */
export const everyNode = computed(() => {
  if (!isPast.value) return nodes.value;
  const found = new Map();
  for (const id of recording.value.names) {
    if (id.includes(":")) continue;
    const known = recording.value.peersNow.get(id);
    if (known) found.set(known.ref, known);
  }
  for (const { name, layer: seenIn } of untracked(() => live.shape.value).hollow) {
    if (!found.has(name)) found.set(name, { ref: name, place: "", monitored: false, layer: seenIn });
  }
  return found;
});

export const everyLink = computed(() => (isPast.value ? recording.value.linksNow : links.value));

export const layers = computed(() => {
  const names = new Set();
  for (const link of links.value.values()) names.add(link.layer);
  return [...names].sort();
});

/** Ids of the peers that pass the search and the status filter; null when neither is set. */
export const matching = computed(() => {
  const words = search.value.trim().toLowerCase();
  const wanted = statusFilter.value;
  if (!words && wanted.size === 0) return null;
  const ids = new Set();
  for (const peer of peers.value.values()) {
    if (wanted.size > 0 && !wanted.has(peer.status)) continue;
    if (words && !describes(peer, words)) continue;
    ids.add(peer.peer_id);
  }
  return ids;
});

function describes(peer, words) {
  const text = `${peer.peer_id} ${peer.place} ${peer.status} ${peer.verdict} ${peer.version} ${peer.node ?? ""} ${peer.address ?? ""}`;
  return words.split(/\s+/).every((word) => text.toLowerCase().includes(word));
}

/** Statuses of peers that need attention. */
export const UNWELL = ["down", "unhealthy"];

/** Count of peers that need attention, by the counts in the header; null if unknown. */
export function unwellPeers(counts) {
  return counts === null ? null : UNWELL.reduce((sum, status) => sum + (counts[`${status}_peers`] ?? 0), 0);
}

export const perStatus = computed(() => {
  const totals = Object.fromEntries(STATUSES.map((status) => [status, 0]));
  for (const peer of peers.value.values()) totals[peer.status] += 1;
  return totals;
});

export function toggleStatus(status) {
  const next = new Set(statusFilter.value);
  if (!next.delete(status)) next.add(status);
  statusFilter.value = next;
}

export function clearFilters() {
  batch(() => {
    search.value = "";
    statusFilter.value = new Set();
  });
}
