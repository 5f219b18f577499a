// What the page knows of the network, and what the user is looking at.
//
// Everything on the screen derives from these signals. `apply` is the only writer of the first
// group; it replaces a Map rather than changing it, so that a view which kept the old one still
// holds one moment of the network and comparing identities tells what changed.

import { batch, computed, signal } from "./vendor/preact.js";
import { isNumber, plain } from "./format.js";
import { STATUSES, knownStatus } from "./statuses.js";

export const me = signal(null);
export const health = signal(null);
/** Peers by verdict. */
export const verdicts = signal({});
export const peers = signal(new Map());
/** By both ends and layer; an end is a `ref`. */
export const links = signal(new Map());
/** {hollow, articulation_peers, partitions}: what the shape of the network says beside its links. */
export const shape = signal({ hollow: [], articulation_peers: [], partitions: [] });
export const regions = signal([]);
export const trends = signal(null);
/** What turns our monotonic seconds into the peer's Unix seconds; null before the first message. */
const epoch = signal(null);
/** Our own monotonic seconds when the last message came; null before the first. */
export const heardAt = signal(null);

/** {name: connecting | live | waiting | refused, retryAt} as the feed last reported it. */
export const feed = signal({ name: "connecting", retryAt: null });
/** Ticks once a second, for ages and the clock. */
export const now = signal(monotonic());

/** Which panel the stage shows. */
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

/** Take in one message of the feed. Fields it does not have stay as they were. */
export function apply(message) {
  const data = message.data ?? {};
  const time = monotonic();
  const fresh = message.type === "snapshot";
  batch(() => {
    heardAt.value = time;
    if (isNumber(message.timestamp)) epoch.value = message.timestamp - time;
    if (fresh || data.self) me.value = data.self ?? null;
    if (fresh || data.health) health.value = data.health ?? null;
    if (fresh || data.verdicts) verdicts.value = data.verdicts ?? {};
    if (fresh || data.map) shape.value = data.map ?? { hollow: [], articulation_peers: [], partitions: [] };
    if (fresh || data.regions) regions.value = data.regions ?? [];
    if (fresh || data.trends) trends.value = data.trends ?? null;
    if (fresh || data.peers?.length || data.gone?.length) {
      const next = new Map(fresh ? [] : peers.value);
      for (const peer of data.peers ?? []) next.set(peer.peer_id, readable(peer));
      for (const id of data.gone ?? []) next.delete(id);
      peers.value = next;
    }
    if (fresh || data.links?.length || data.links_gone?.length) {
      const next = new Map(fresh ? [] : links.value);
      for (const link of data.links ?? []) next.set(linkKey(link.source, link.target, link.layer), link);
      for (const [source, target, name] of data.links_gone ?? []) next.delete(linkKey(source, target, name));
      links.value = next;
    }
  });
}

function linkKey(source, target, name) {
  return `${source} ${target} ${name}`;
}

/** Unix seconds by the peer's clock: virtual ones go at the pace of the simulation. */
export function wall() {
  if (epoch.value === null) return Date.now() / 1000;
  const pace = simulation.value?.pace ?? simulation.value?.speed ?? 1;
  return epoch.value + heardAt.value + (now.value - heardAt.value) * pace;
}

/** How a simulated network goes; null where it is real. */
export const simulation = computed(() => me.value?.simulation ?? null);

/** The peer as it was sent, with what several views need: its name on links, and names to show. */
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

/** Everything that stands on the map by `ref`: peers, and those that only links tell of. */
export const nodes = computed(() => {
  const found = new Map();
  for (const peer of peers.value.values()) if (peer.status !== "left") found.set(peer.ref, peer);
  for (const { name, layer: seenIn } of shape.value.hollow) {
    if (found.has(name)) continue;
    const shown = plain(name.slice(name.indexOf(":") + 1), 16);
    found.set(name, { ref: name, peer_id: null, shown, place: "", status: "unknown", verdict: null, monitored: false, layer: seenIn });
  }
  return found;
});

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
