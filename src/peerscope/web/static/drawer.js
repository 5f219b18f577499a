// The drawer: all details of one peer, beside the map.

import { html, signal, useEffect, useRef } from "./vendor/preact.js";
import { AlertRows } from "./alert-row.js";
import { Copyable } from "./copy.js";
import { Past } from "./past.js";
import { Checks, Evidence, Links, Metrics, NodeLinks } from "./details.js";
import { Series } from "./series.js";
import { gravestFirst } from "./severities.js";
import { Glyph } from "./statuses.js";
import { ageOf, alerts, isGone, isPast, me, now, peers, selected, wall } from "./state.js";
import { age, dateTime, duration, plain, signedSeconds } from "./format.js";
import { get } from "./session.js";
import { verdictOf, verdictSentence } from "./verdict.js";

const REFRESH_MS = 10_000;

/** Details of the open peer from the API: {id, history, evidence, error}. */
const extra = signal({ id: null });
let lastSeen = null;

export function Drawer() {
  const id = selected.value;
  const live = id === null ? null : peers.value.get(id);
  const gone = id !== null && !live;
  if (live) lastSeen = live;
  const peer = live ?? (lastSeen?.peer_id === id ? lastSeen : null);
  const box = useRef();
  const opener = useRef(null);

  useEffect(() => {
    if (id === null) {
      opener.current?.focus?.();
      opener.current = null;
      return;
    }
    opener.current ??= document.activeElement === document.body ? null : document.activeElement;
    box.current?.focus({ preventScroll: true });
    box.current?.scrollTo(0, 0);
  }, [id]);

  // Load again when the feed reports a change, and regularly for details that the feed lacks.
  useEffect(() => {
    if (id === null || gone) return;
    const abort = new AbortController();
    const load = () => fetchExtra(id, abort.signal);
    load();
    const timer = setInterval(load, REFRESH_MS);
    return () => {
      abort.abort();
      clearInterval(timer);
    };
  }, [id, gone, live?.status, live?.verdict, live?.accused_by]);

  if (id === null) return null;
  return html`<aside class="drawer" data-testid="drawer" data-peer=${id} ref=${box} tabindex="-1" role="dialog"
      aria-label=${`Peer ${peer?.shown ?? id.slice(0, 10)}`}>
    ${peer ? html`<${Sheet} peer=${peer} gone=${gone} />` : html`
      <div class="head"><h2>Unknown peer</h2><${Close} /></div>
      <p class="muted">This agent has no record of the peer, or no longer.</p>
      <${Copyable} text=${id} label="peer id" wrap />`}
  </aside>`;
}

async function fetchExtra(id, abort) {
  const [details, evidence] = await Promise.allSettled([get(`peers/${encodeURIComponent(id)}`, abort), get(`peers/${encodeURIComponent(id)}/evidence`, abort)]);
  if (abort.aborted) return;
  const previous = extra.value.id === id ? extra.value : {};
  extra.value = {
    id,
    at: wall(),
    details: details.value ?? previous.details,
    history: details.value?.history ?? previous.history,
    evidence: evidence.value ?? previous.evidence,
    error: (details.reason ?? evidence.reason)?.message ?? null,
  };
}

function Close() {
  return html`<button class="tool close" aria-label="Close" title="Close (Esc)" onClick=${() => { selected.value = null; }}>✕</button>`;
}

function Sheet({ peer, gone }) {
  const added = extra.value.id === peer.peer_id ? extra.value : {};
  const { details } = added;
  const verdict = verdictOf(peer);
  const waiting = !details && !added.error;
  const loading = html`<p class="muted loading-line">Loading…</p>`;
  return html`
    <div class="head">
      <h2><${Glyph} status=${peer.status} /> <code>${peer.shown}</code></h2>
      <span class="badge ${peer.status}">${peer.status}</span>
      ${verdict !== peer.status && html`<span class="badge verdict ${verdict}">${verdict}</span>`}
      <${Close} />
    </div>
    ${isPast.value && html`<p class="notice">Status and alerts are from the past; all else is current.</p>`}
    ${gone && html`<p class="notice">Gone from the network. These are its last known details.</p>`}
    <p class="sentence ${verdict}">${verdictSentence(peer)}</p>
    <${Evidence} evidence=${added.evidence} verdict=${verdict} />
    <${PeerAlerts} id=${peer.peer_id} />
    <h3>Checks</h3>
    ${waiting ? loading : html`<${Checks} checks=${details?.checks} gone=${isGone(peer)} />`}
    <h3>Last hour</h3>
    ${waiting ? loading : html`<${Past} history=${added.history} end=${added.at} />`}
    <h3>Over time</h3>
    <${Series} peer=${peer} measures=${details?.metrics?.measures} />
    <h3>Links <span class="muted">${isGone(peer) ? 0 : details ? details.links.length : peer.links ?? 0}</span></h3>
    ${waiting ? loading : html`<${Links} links=${isGone(peer) ? [] : details?.links} />`}
    ${!isGone(peer) && html`<${NodeLinks} id=${peer.peer_id} links=${details?.node_links} />`}
    <h3>Facts</h3>
    <${Facts} peer=${peer} details=${details} />
    <h3>Metrics</h3>
    ${waiting ? loading : html`<${Metrics} metrics=${isGone(peer) ? null : details?.metrics} />
      ${!isGone(peer) && details?.metrics && !details.metrics.node && html`<p class="muted">No node attached: ${peer.peer_id === me.value?.peer_id
        ? html`start this agent with <code>--node-source</code>, or let your program post telemetry.`
        : "its operator can attach one with --node-source."}</p>`}`}
    ${added.error && html`<p class="muted">Evidence and history may be missing: ${plain(added.error, 120)}.</p>`}`;
}

/** Active alerts of this peer. */
function PeerAlerts({ id }) {
  const list = gravestFirst([...alerts.value.values()].filter((alert) => alert.peer_id === id));
  return html`<h3>Alerts <span class="muted">${list.length}</span></h3>
    <div data-testid="peer-alerts">${list.length > 0 ? html`<${AlertRows} list=${list} isOfPeer />` : html`<p class="muted">No alert of this peer fires.</p>`}</div>`;
}

function Facts({ peer, details }) {
  void now.value; // ages
  const started = typeof peer.started_at === "number" ? peer.started_at : null;
  const addresses = details?.addresses ?? [];
  const ticket = peer.peer_id === me.value?.peer_id ? plain(me.value.ticket, 4096) : "";
  const facts = [
    ["peer id", html`<${Copyable} text=${plain(peer.peer_id, 80)} label="peer id" />`],
    ticket && ["ticket", html`<${Copyable} text=${ticket} label="ticket" />`],
    ["region", regionWords(peer)],
    ["version", plain(peer.version, 40) || "–"],
    ["node", nodeWords(peer.node)],
    details?.reachability && ["node reached", reachedWords(details.reachability)],
    ["heard", peer.heard_at === undefined ? "never" : `${age(ageOf(peer))} ago`],
    ["running", runningWords(peer, started)],
    details?.planned && ["planned", plannedWords(details.planned)],
    ["clock skew", details && !isGone(peer) ? signedSeconds(details.clock_skew_s) : "–"],
    ["addresses", addresses.length === 0 ? "–" : html`<ul class="addresses">
      ${addresses.slice(0, 16).map((address) => html`<li key=${address}><code>${plain(address, 90)}</code></li>`)}</ul>`],
  ].filter(Boolean);
  return html`<dl class="pairs">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** Which peers could connect to the node. */
function reachedWords({ summary, dialers }) {
  return html`<span data-testid="reachability">${plain(summary, 200)}</span><ul class="addresses">
    ${dialers.slice(0, 8).map(({ peer_id: id, region, outcomes, age_s: tried }) => html`<li key=${id}>
      <code>${plain(id, 10)}</code> ${plain(region ?? "no region", 24)}: ${Object.entries(outcomes).slice(0, 2)
        .map(([address, words]) => `${plain(address, 90)} ${plain(words, 90)}`).join("; ")}, ${age(tried)} ago</li>`)}</ul>`;
}

/** Uptime, or how long it has been gone. */
function runningWords(peer, started) {
  if (isGone(peer)) return html`<span title=${dateTime(peer.gone_since)}>${peer.verdict} since ${age(wall() - peer.gone_since)}</span>`;
  return started === null ? "–" : html`<span title=${dateTime(started)}>${duration(wall() - started)}</span>`;
}

/** Why the peer left, and when it is to be back. */
function plannedWords({ reason, ends_at: end, is_overdue: isOverdue }) {
  const back = end === null ? "" : isOverdue ? "; overdue, so it counts as down" : `; back within ${duration(end - wall())}`;
  return plain(reason, 160) + back;
}

/** The region, and its source if not the operator. */
function regionWords(peer) {
  const source = { country: " (by address)", latency: " (a guess, by latency)" }[peer.region_source] ?? "";
  return peer.place ? peer.place + source : "–";
}

/** The node of the peer, as a name or as an object that describes it. */
function nodeWords(node) {
  if (node === null || node === undefined) return "none attached";
  if (typeof node !== "object") return plain(node, 80);
  const words = Object.values(node).filter((value) => ["string", "number"].includes(typeof value));
  return plain(words.join(" · "), 120) || "attached";
}
