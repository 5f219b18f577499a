// The parts of the drawer that are tables: evidence, checks, links, metrics.

import { html } from "./vendor/preact.js";
import { Glyph, band, knownStatus } from "./statuses.js";
import { nodes, peers, selected } from "./state.js";
import { PeerMeasures } from "./measures.js";
import { DASH, counted, dateTime, decimal, duration, isNumber, latency, metric, percent, plain } from "./format.js";

const CHECKS = ["cpu", "memory", "storage", "network", "p2p", "node"];
// Metrics come from other programs, which may report thousands.
const METRICS_MAX = 120;
const ROWS_MAX = 64;

/** A peer by its id, or by its name in links. */
function find(id) {
  return peers.value.get(id) ?? nodes.value.get(id);
}

/** A button that opens a peer. */
function PeerLink({ id }) {
  const peer = find(id);
  return html`<button class="link peer" title=${plain(id, 80)} onClick=${() => { selected.value = peer?.peer_id ?? id; }}>
    ${peer && html`<${Glyph} status=${peer.status} />`} <code>${peer?.shown ?? plain(id, 80).slice(0, 10)}</code></button>`;
}

/** The evidence of the verdict: its arithmetic in words, then the accusations. */
export function Evidence({ evidence, verdict }) {
  if (!evidence) return null;
  const { accusations = [], heard_by: heardBy = [] } = evidence;
  if (accusations.length === 0) return null;
  return html`<div class="evidence" data-testid="evidence">
    <p><strong>${verdict}</strong> because it is ${plain(evidence.arithmetic, 160)}${evidence.partition
      ? `; lost together with ${counted(evidence.partition.size - 1, "other")}` : ""}.</p>
    <table aria-label="Accusations">
      <thead><tr><th>Observer</th><th>Silent for</th><th>Reason</th></tr></thead>
      <tbody>${accusations.slice(0, ROWS_MAX).map(({ observer, since, last_heard_s: lastHeard, reason }) => html`
        <tr key=${observer}><td><${PeerLink} id=${observer} /></td>
          <td title=${isNumber(since) ? `since ${dateTime(since)}` : null}>${duration(lastHeard)}</td>
          <td>${plain(reason, 80) || "–"}</td></tr>`)}</tbody>
    </table>
    <p class="muted">${heardBy.length > 0 ? html`Heard by ${heardBy.slice(0, 8).map((id) => html`<${PeerLink} key=${id} id=${id} /> `)}` : "No observer hears it."}</p>
  </div>`;
}

export function Checks({ checks, gone }) {
  if (gone) return html`<p class="muted">It is gone. “Over time” has its earlier measurements.</p>`;
  if (!checks) return html`<p class="muted">Not measured: there is no fresh report of this peer.</p>`;
  return html`<table class="checks" aria-label="Health checks"><tbody>${CHECKS.filter((name) => name !== "node" || checks.node).map((name) => {
    const check = checks[name];
    const status = knownStatus(check?.status);
    return html`<tr key=${name} data-check=${name} data-status=${status}>
      <th scope="row"><${Glyph} status=${status} label=${status} />${name}</th>
      <td class="number">${checkValue(name, check?.value)}</td>
      <td>${plain(check?.message, 160) || (check ? "" : "not measured")}</td></tr>`;
  })}</tbody></table>`;
}

/** Host checks have ratios; others have counts, which their message explains. That of the node has no number. */
function checkValue(name, value) {
  if (name === "node" && !isNumber(value)) return "";
  return ["cpu", "memory", "storage"].includes(name) ? percent(value) : decimal(value);
}

/** Which ends list a link between nodes, in words about this end. */
function listedBy({ confirmed, reported_by: by, source }, id) {
  if (confirmed === "both") return "both ends";
  const [lister, other] = (by === "source") === (source === id) ? ["this end", "the other"] : ["the other end", "this one"];
  return { one: lister, contradicted: `${lister}, not ${other}`, foreign: `${lister}, no agent at ${other}` }[confirmed] ?? DASH;
}

/** Links of the peer's node in its own network, each with the ends that list it, and the time that each measured. */
export function NodeLinks({ id, links: found }) {
  if (!found?.length) return null;
  const rows = found.map((link) => {
    const isSource = link.source === id;
    const [here, there] = isSource ? [link.source_rtt_s, link.target_rtt_s] : [link.target_rtt_s, link.source_rtt_s];
    return { link, other: isSource ? link.target : link.source, here, there };
  }).sort((a, b) => (a.other < b.other ? -1 : 1));
  return html`<h3>Links of its node <span class="muted">${found.length}</span></h3>
    <table class="links" aria-label="Links of its node" data-testid="node-links">
    <thead><tr><th>Neighbour</th><th>Layer</th><th class="number" title="~: an estimate">RTT</th><th class="number">here</th><th class="number">there</th><th>Listed by</th></tr></thead>
    <tbody>${rows.slice(0, ROWS_MAX).map(({ link, other, here, there }) => html`<tr key=${`${link.layer} ${other}`}
        class=${link.confirmed === "contradicted" ? "off" : null} data-confirmed=${link.confirmed}>
      <td><${PeerLink} id=${other} /></td><td class="clip">${plain(link.layer, 24)}</td>
      <td class="number">${link.estimated ? "~" : ""}${latency(link.rtt_s)}</td>
      <td class="number">${latency(here)}</td><td class="number">${latency(there)}</td><td>${listedBy(link, id)}</td></tr>`)}</tbody></table>
    ${rows.length > ROWS_MAX && html`<p class="muted">and ${rows.length - ROWS_MAX} more</p>`}`;
}

export function Links({ links }) {
  if (!links?.length) return html`<p class="muted">No link is known.</p>`;
  const sorted = [...links].sort((a, b) => Number(a.up !== false) - Number(b.up !== false) || (b.rtt_s ?? -1) - (a.rtt_s ?? -1));
  return html`<table class="links" aria-label="Links">
    <thead><tr><th>Neighbour</th><th>Region</th><th class="number">RTT</th><th class="number">Loss</th></tr></thead>
    <tbody>${sorted.slice(0, ROWS_MAX).map((link) => {
      const up = link.up !== false;
      return html`<tr key=${link.peer_id} class=${up ? null : "off"}>
        <td><${PeerLink} id=${link.peer_id} /></td>
        <td class="clip">${find(link.peer_id)?.place || "–"}</td>
        <td class=${`number link-${up ? band(link.rtt_s) : "unknown"}`}>${up ? latency(link.rtt_s) : "lost"}</td>
        <td class="number">${percent(link.loss_ratio)}</td></tr>`;
    })}</tbody></table>
    ${sorted.length > ROWS_MAX && html`<p class="muted">and ${sorted.length - ROWS_MAX} more</p>`}`;
}

export function Metrics({ metrics }) {
  if (!metrics) return html`<p class="muted">not measured</p>`;
  const { measures, ...fixed } = metrics;
  const rows = [...flat(fixed, [])].slice(0, METRICS_MAX);
  if (rows.length === 0) return html`<p class="muted">not measured</p>`;
  const labels = labelsOf(rows.map(([path]) => path.join(" · ")));
  return html`<dl class="pairs metrics">${rows.map(([path, value]) => {
    const name = path.join(" · ");
    return html`<dt key=${name} title=${plain(name, 120)}>${plain(labels.get(name), 60)}</dt>
      <dd class=${value === null ? "muted" : null}>${value === null ? "not measured" : metric(path.at(-1), value)}</dd>`;
  })}</dl><${PeerMeasures} measures=${measures} />`;
}

/** Names without their units, which the values show: "memory_bytes" becomes memory. A rate beside its total says so. */
function labelsOf(names) {
  const bare = (name) => name.replace(/(_per)?_(s|bytes)$/, "").replace(/_bytes$/, "").replaceAll("_", " ");
  const uses = new Map();
  for (const name of names) uses.set(bare(name), (uses.get(bare(name)) ?? 0) + 1);
  return new Map(names.map((name) => [name, uses.get(bare(name)) > 1 && name.endsWith("_s") ? `${bare(name)} per second` : bare(name)]));
}

function* flat(value, path) {
  if (value !== null && typeof value === "object" && path.length < 5) {
    for (const [key, inner] of Object.entries(value)) yield* flat(inner, [...path, key]);
  } else if (path.length > 0) {
    yield [path, typeof value === "object" ? null : value];
  }
}
