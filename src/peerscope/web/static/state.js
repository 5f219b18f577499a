// What the page knows of the network, and what the user is looking at.
//
// Everything on the screen derives from these signals. `apply` is the only writer of the first
// group; it replaces a Map rather than changing it, so that a view which kept the old one still
// holds one moment of the network and comparing identities tells what changed.

import { batch, computed, signal } from "./vendor/preact.js";
import { isNumber, median, plain } from "./format.js";
import { STATUSES, knownStatus } from "./statuses.js";

export const me = signal(null);
export const health = signal(null);
export const peers = signal(new Map());
export const links = signal(new Map());
/** Our own monotonic seconds when the last message came; null before the first. */
export const heardAt = signal(null);

/** {name: connecting | live | waiting | refused, retryAt} as the feed last reported it. */
export const feed = signal({ name: "connecting", retryAt: null });
/** Ticks once a second, for ages and the clock. */
export const now = signal(monotonic());

export const selected = signal(null);
export const hovered = signal(null);
export const search = signal("");
export const statusFilter = signal(new Set());
export const layer = signal(null);

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
    if (fresh || data.self) me.value = data.self ?? null;
    if (fresh || data.health) health.value = data.health ?? null;
    if (fresh || data.peers?.length || data.gone?.length) {
      const next = new Map(fresh ? [] : peers.value);
      for (const peer of data.peers ?? []) next.set(peer.peer_id, readable(peer, time));
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

/** The peer as it was sent, with what several views need: shown names, one latency, when it was heard. */
export function readable(peer, time) {
  const up = (peer.links ?? []).filter((link) => link.up !== false && isNumber(link.rtt_s));
  return {
    ...peer,
    status: knownStatus(peer.status),
    shown: plain(peer.short_id || String(peer.peer_id).slice(0, 10), 16),
    place: plain(peer.region, 40),
    rtt_s: median(up.map((link) => link.rtt_s)),
    heardAt: isNumber(peer.age_s) ? time - peer.age_s : null,
  };
}

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
  const text = `${peer.peer_id} ${peer.place} ${peer.status} ${peer.verdict} ${peer.version} ${(peer.addresses ?? []).join(" ")}`;
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
