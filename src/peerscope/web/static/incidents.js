// Incidents: groups of alerts with one root, and the tree of a cascade.

import { html, signal } from "./vendor/preact.js";
import { AlertRows, Marks, PeerButton, Since } from "./alert-row.js";
import { Order, OrderButtons } from "./orders.js";
import { Severity, gravestFirst } from "./severities.js";
import { alerts, peers } from "./state.js";
import { count, duration, percent, plain } from "./format.js";

const KINDS = {
  cascade: "cascade", "region-outage": "region outage", "peer-cluster": "one peer", pattern: "pattern", version: "version",
  host: "one machine", region: "one region", partition: "partition", chance: "chance",
};
const EVIDENCE_MAX = 10;
const TREE_DEPTH_MAX = 24;

/** Ids of folded incidents. */
const folded = signal(new Set());

export function Incident({ incident }) {
  const isOpen = incident.state === "open" && !folded.value.has(incident.id);
  const members = gravestFirst([...alerts.value.values()].filter(({ incident: id }) => id === incident.id));
  const toggle = () => {
    const next = new Set(folded.value);
    if (!next.delete(incident.id)) next.add(incident.id);
    folded.value = next;
  };
  return html`<article class=${`incident ${incident.state} ${incident.severity}`} data-testid=${`incident-${incident.id}`} data-kind=${incident.kind}>
    <div class="line">
      <${Severity} of=${incident.severity} label />
      <button class="title" aria-expanded=${String(isOpen)} onClick=${toggle}>${plain(incident.title, 100)}</button>
      <span class="mark">${KINDS[incident.kind] ?? plain(incident.kind, 24)}</span>
      <span class="filler"></span>
      ${incident.clearing && html`<span class="mark" title="The conditions of all its alerts are over; it closes after a while">over for now</span>`}
      <${Marks} of=${incident} />
      <span class="muted"><${Since} from=${incident.started_at} to=${incident.ended_at} /></span>
    </div>
    <p class="muted">${plain(incident.description, 240)}</p>
    <p class="facts-line">
      <span>${count(incident.peers ?? 0)} ${incident.peers === 1 ? "peer" : "peers"}, ${count(incident.alerts ?? 0)} ${incident.alerts === 1 ? "alert" : "alerts"}</span>
      ${incident.root && html`<span>root <${Root} of=${incident.root} /></span>`}
      <span>${percent(incident.confidence)} sure</span>
    </p>
    <${Story} incident=${incident} />
    ${isOpen && html`
      ${(incident.tree ?? []).length > 1 && html`<${Tree} nodes=${incident.tree} />`}
      <div class="acts"><${OrderButtons} of=${incident} /></div>
      <${Order} of=${incident} choices=${[[`id=${incident.id}`, "this incident"]]} />
      ${members.length > 0 && html`<${AlertRows} list=${members} />`}`}
  </article>`;
}

/** Other causes, the evidence, the first thing to do, and the earlier identity. An older agent sends none of them. */
function Story({ incident }) {
  const { alternatives = [], evidence = [], merged = [] } = incident;
  const kindOf = (kind) => KINDS[kind] ?? plain(kind, 24);
  const before = [
    incident.was && `It was reported as ${kindOf(incident.was)} before.`,
    incident.split_from && `Its alerts were part of ${plain(incident.split_from, 80)} before.`,
    merged.length > 0 && `It holds the alerts of ${merged.map((id) => plain(id, 80)).join(", ")} too.`,
  ].filter(Boolean);
  return html`
    ${alternatives.length > 0 && html`<p class="story" data-testid="alternatives">${
      alternatives.map((one, place) => html`${place === 0 ? html`<strong>Either</strong>` : html` <strong>or</strong>`} ${kindOf(one.kind)}${one.root && html` <${Root} of=${one.root} />`} (${percent(one.probability)})`)}</p>`}
    ${evidence.length > 0 && html`<ul class="story" data-testid="incident-evidence">${evidence.slice(0, EVIDENCE_MAX).map((one) => html`<li>${plain(one, 240)}</li>`)}</ul>`}
    ${incident.first_step && html`<p class="story" data-testid="first-step"><strong>Do first:</strong> ${plain(incident.first_step, 400)}</p>`}
    ${before.map((line) => html`<p class="story muted" data-testid="incident-history">${line}</p>`)}`;
}

/** A peer, a region or a version. */
function Root({ of }) {
  return peers.value.has(of) ? html`<${PeerButton} id=${of} />` : html`<strong>${plain(of, 48)}</strong>`;
}

function Tree({ nodes }) {
  const children = new Map();
  const known = new Set(nodes.map((node) => node.alert_id));
  for (const node of nodes) {
    const parent = known.has(node.parent) ? node.parent : null;
    children.set(parent, [...(children.get(parent) ?? []), node]);
  }
  return html`<div class="tree" data-testid="tree"><h4>Causes and effects</h4><${Branch} of=${null} children=${children} depth=${0} /></div>`;
}

function Branch({ of, children, depth }) {
  const list = children.get(of) ?? [];
  if (list.length === 0 || depth > TREE_DEPTH_MAX) return null;
  return html`<ul>${list.map((node) => html`<li key=${node.alert_id}>
    <${PeerButton} id=${node.peer_id} />
    <span class="muted">${alerts.value.get(node.alert_id)?.rule ?? ""}${node.delay_s === null ? " root" : ` ${duration(node.delay_s)} later`}, ${percent(node.confidence)} sure</span>
    <${Branch} of=${node.alert_id} children=${children} depth=${depth + 1} /></li>`)}</ul>`;
}
