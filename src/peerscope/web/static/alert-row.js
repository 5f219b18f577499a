// One alert: in a list, in its incident, in the drawer of its peer.

import { html, signal } from "./vendor/preact.js";
import { Order, OrderButtons } from "./orders.js";
import { Severity } from "./severities.js";
import { Glyph } from "./statuses.js";
import { alerts, isPast, now, peers, selected, wall } from "./state.js";
import { useAnswer } from "./ask.js";
import { age, dateTime, duration, isNumber, percent, plain } from "./format.js";

const ROWS_STEP = 30;
const REFRESH_MS = 15_000;
const EVIDENCE_MAX = 8;
/** A younger text needs no date. */
const AS_OF_S = 60;

const PEERS_SHOWN = 3;
const UNFOLDED_MAX = 200;
const ALIKE = ["rule", "severity", "title", "state", "silenced_by", "acknowledged_by", "flapping", "clearing"];

/** Ids of groups of equal alerts that are open. */
const unfolded = signal(new Set());

/** Id of the alert whose details are open. */
const opened = signal(null);

/** Id of the alert that the address names: messages link to it. */
export const linked = signal(null);

/** A button that opens the peer with this full id. */
export function PeerButton({ id }) {
  const peer = peers.value.get(id);
  return html`<button class="link peer" title=${plain(id, 80)} onClick=${() => { selected.value = id; }}>
    ${peer && html`<${Glyph} status=${peer.status} />`}<code>${peer?.shown ?? plain(id, 80).slice(0, 10)}</code></button>`;
}

/** Marks of an acknowledgement and a silence. */
export function Marks({ of: { silenced_by: silence, acknowledged_by: author } }) {
  return html`${author && html`<span class="mark known" title=${`Acknowledged by ${plain(author)}`}>✓ ${plain(author, 24)}</span>`}
    ${silence && html`<span class="mark silent" title=${`Silence ${plain(silence)} holds back its notifications`}>silenced</span>`}`;
}

/** The age, or if it is over, the duration and the time since. */
export function Since({ from, to }) {
  void now.value; // ages
  return html`<time title=${dateTime(from)}>${to ? `${duration(to - from)}, ended ${age(wall() - to)} ago` : age(wall() - from)}</time>`;
}

/** Age of the numbers in a text, if they are old. */
function AsOf({ at, over }) {
  void now.value; // ages
  return isNumber(at) && !over && wall() - at > AS_OF_S ? html` <span title=${dateTime(at)}>(${age(wall() - at)} ago)</span>` : null;
}

/** Rows of alerts in this order. Equal ones are one row that opens. */
export function AlertRows({ list, isOfPeer }) {
  return html`<${AlertGroups} groups=${foldAlerts(list)} isOfPeer=${isOfPeer} />`;
}

export function AlertGroups({ groups, isOfPeer }) {
  const shown = signalOf(groups.length > 0 ? groups[0].alerts[0].id : "");
  return html`<ul class="alerts">${groups.slice(0, shown.value).map((group) => group.alerts.length > 1
      ? html`<${FoldedRow} key=${group.id} group=${group} isOfPeer=${isOfPeer} />`
      : html`<${AlertRow} key=${group.alerts[0].id} alert=${group.alerts[0]} isOfPeer=${isOfPeer} />`)}</ul>
    ${groups.length > shown.value && html`<button class="link" onClick=${() => { shown.value += ROWS_STEP * 4; }}>${
      groups.slice(shown.value).reduce((sum, { alerts }) => sum + alerts.length, 0)} more</button>`}`;
}

/** Equal alerts together, in the order of the first of each: of one rule, severity and state, with equal orders. */
export function foldAlerts(list) {
  const groups = new Map();
  for (const alert of list) {
    const same = JSON.stringify(ALIKE.map((name) => alert[name] ?? null));
    const group = groups.get(same);
    if (group) group.alerts.push(alert);
    else groups.set(same, { id: same, severity: alert.severity, started_at: alert.started_at, alerts: [alert] });
  }
  return [...groups.values()];
}

function FoldedRow({ group, isOfPeer }) {
  const [first] = group.alerts;
  const isOpen = unfolded.value.has(group.id);
  const toggle = () => {
    const next = new Set(unfolded.value);
    if (!next.delete(group.id)) next.add(group.id);
    unfolded.value = next;
  };
  const known = [...new Set(group.alerts.map(({ peer_id: id }) => id).filter(Boolean))];
  const isOver = first.state === "resolved" || first.state === "forgotten";
  return html`<li class=${`alert folded ${first.state}`} data-testid=${`alerts-${plain(first.rule, 40)}`} data-count=${group.alerts.length}
      data-severity=${first.severity} data-state=${first.state}>
    <div class="line">
      <${Severity} of=${first.severity} label />
      <button class="title" aria-expanded=${String(isOpen)} onClick=${toggle}>
        <span class="times">×${group.alerts.length}</span> ${plain(first.title, 100) || plain(first.rule)}</button>
      ${known.slice(0, PEERS_SHOWN).map((id) => html`<${PeerButton} key=${id} id=${id} /> `)}
      ${known.length > PEERS_SHOWN && html`<span class="muted">and ${known.length - PEERS_SHOWN} more</span>`}
      <span class="filler"></span>
      <${Marks} of=${first} />
      <span class="muted">newest <${Since} from=${first.started_at} to=${isOver ? first.resolved_at : null} /></span>
    </div>
    ${isOpen && html`<ul class="alerts">${group.alerts.slice(0, UNFOLDED_MAX).map((alert) => html`<${AlertRow} key=${alert.id} alert=${alert} isOfPeer=${isOfPeer} />`)}</ul>`}
    ${isOpen && group.alerts.length > UNFOLDED_MAX && html`<p class="muted">The first ${UNFOLDED_MAX}. <code>peerscope alerts --each</code> lists them all.</p>`}
  </li>`;
}

const lengths = new Map();

/** Number of visible rows in the list that begins with this alert. */
function signalOf(first) {
  if (lengths.size > 200) lengths.clear();
  if (!lengths.has(first)) lengths.set(first, signal(ROWS_STEP));
  return lengths.get(first);
}

/** The alert that the address names, also if it is over or within an incident. */
export function Linked() {
  const { value: answer, error } = useAnswer(`alerts/${encodeURIComponent(linked.value)}`, REFRESH_MS);
  const value = answer ?? alerts.value.get(linked.value) ?? null; // a region with a slash has no route of its own
  return html`<section data-testid="linked-alert">
    <h3>From the link <button class="link" onClick=${() => { linked.value = null; }}>close</button></h3>
    ${value === null && html`<p class="muted">${error ? `This peer no longer knows ${plain(linked.value, 80)}.` : "Loading…"}</p>`}
    ${value !== null && html`<ul class="alerts"><${AlertRow} alert=${value} isLinked /></ul>`}
  </section>`;
}

function AlertRow({ alert, isOfPeer, isLinked }) {
  const isOpen = isLinked || opened.value === alert.id;
  const isOver = alert.state === "resolved" || alert.state === "forgotten";
  return html`<li class=${`alert ${alert.state}`} data-testid=${`alert-${alert.id}`} data-state=${alert.state} data-severity=${alert.severity}>
    <div class="line">
      <${Severity} of=${alert.severity} label />
      <button class="title" aria-expanded=${String(isOpen)} onClick=${() => { opened.value = isOpen ? null : alert.id; }}>
        ${plain(alert.title, 100) || plain(alert.rule)}</button>
      ${alert.peer_id && !isOfPeer && html`<${PeerButton} id=${alert.peer_id} />`}
      ${alert.region && !isOfPeer && html`<span class="muted">${plain(alert.region, 24)}</span>`}
      <span class="filler"></span>
      ${alert.flapping && html`<span class="mark" title="It fires and resolves repeatedly">flapping</span>`}
      ${alert.clearing && html`<span class="mark" title="Its condition is over; the alert resolves after a while">over for now</span>`}
      ${alert.state === "pending" && html`<span class="mark" title="Not yet true for long enough">pending</span>`}
      ${alert.state === "forgotten" && html`<span class="mark" title="The network has forgotten the peer, which never returned">forgotten</span>`}
      <${Marks} of=${alert} />
      <span class="muted"><${Since} from=${alert.started_at} to=${isOver ? alert.resolved_at : null} /></span>
    </div>
    ${alert.description && html`<p class="muted">${plain(alert.description, 240)}<${AsOf} at=${alert.described_at} over=${isOver} /></p>`}
    ${isOpen && html`<${AlertDetails} alert=${alert} canOrder=${!isOver && !isPast.value} />`}
  </li>`;
}

function AlertDetails({ alert, canOrder }) {
  const { value, error } = useAnswer(`alerts/${encodeURIComponent(alert.id)}`, REFRESH_MS);
  const facts = value === null ? [] : [
    ["do first", plain(value.runbook, 400)],
    ["confirmed by", value.confirmed_by.length > 0 && html`${value.confirmed_by.slice(0, EVIDENCE_MAX).map((id) => html`<${PeerButton} key=${id} id=${id} /> `)}${
      value.confirmed_by.length > EVIDENCE_MAX ? `and ${value.confirmed_by.length - EVIDENCE_MAX} more` : ""}`],
    ["confidence", value.confidence !== null && percent(value.confidence)],
    ...Object.entries(value.metadata).map(([name, text]) => [plain(name, 32), plain(text, 120)]),
    ["began", dateTime(value.started_at)],
    ["id", html`<code>${plain(value.id, 80)}</code>`],
  ].filter(([, value]) => value);
  return html`<div class="more-of">
    ${value === null && html`<p class="muted">${error ? plain(error.message, 120) : "Loading…"}</p>`}
    <dl class="pairs">${facts.map(([name, value]) => html`<dt key=${name}>${name}</dt><dd>${value}</dd>`)}</dl>
    <div class="acts">
      ${alert.peer_id && html`<button class="tool" onClick=${() => { selected.value = alert.peer_id; }}>Evidence: the peer</button>`}
      ${canOrder && html`<${OrderButtons} of=${alert} />`}
    </div>
    ${canOrder && html`<${Order} of=${alert} choices=${choicesOf(alert)} />`}
  </div>`;
}

/** Matchers for a silence from this alert. */
function choicesOf(alert) {
  return [
    [`id=${alert.id}`, "this alert"],
    [`rule=${alert.rule}`, `${plain(alert.rule, 32)} everywhere`],
    ...(alert.peer_id ? [[`peer=${alert.peer_id}`, "all alerts of this peer"]] : []),
    ...(alert.region ? [[`region=${alert.region}`, `all alerts in ${plain(alert.region, 24)}`]] : []),
  ];
}
