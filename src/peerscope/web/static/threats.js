// Threats with their evidence, anomaly rates, and neighbours that misbehave.

import { html } from "./vendor/preact.js";
import { PeerButton, Since } from "./alert-row.js";
import { Severity, gravestFirst } from "./severities.js";
import { useAnswer } from "./ask.js";
import { simulation } from "./state.js";
import { counted, decimal, duration, percent, plain } from "./format.js";

const EVERY_MS = 10_000;
const WORST_PEERS = 5;

export function Threats() {
  const threats = useAnswer("threats?limit=200", EVERY_MS);
  const anomalies = useAnswer("anomalies", EVERY_MS);
  const conduct = useAnswer("conduct", EVERY_MS);
  return html`<div data-testid="threats"><${Answered} of=${threats} show=${Findings} /></div>
    <h3>Anomaly rate</h3><${Answered} of=${anomalies} show=${Anomalies} />
    <h3>Conduct of neighbours</h3><div data-testid="conduct"><${Answered} of=${conduct} show=${Conduct} /></div>`;
}

function Answered({ of: { value, error }, show: Show }) {
  if (value === null) return html`<p class="muted">${error ? plain(error.message, 120) : "Loading…"}</p>`;
  return html`<${Show} found=${value} />`;
}

function Findings({ found }) {
  if (found.length === 0) return html`<div class="empty small"><h3>No threats found</h3>
    <p>${simulation.value === null ? "The agent looks for flooding, eclipse, sybil identities, forged or equivocal records, and the signatures of operators."
      : "A simulation does not look for attacks."}</p></div>`;
  const list = gravestFirst(found.map((one) => ({ ...one, started_at: one.at })));
  return html`<ul class="alerts">${list.map((one) => html`<li class="alert" key=${one.id} data-testid=${`threat-${one.id}`}>
    <div class="line"><${Severity} of=${one.severity} label /><strong>${plain(one.title, 80)}</strong>
      ${one.peer_id ? html`<${PeerButton} id=${one.peer_id} />` : html`<span>${plain(one.group, 48)}</span>`}
      <span class="filler"></span><span>${percent(one.confidence)} sure</span><span class="muted"><${Since} from=${one.at} /></span></div>
    <p class="muted">${plain(one.text, 200)}</p>
    <dl class="pairs">${one.evidence.map(([name, value]) => html`<dt key=${name}>${plain(name, 48)}</dt><dd>${plain(value, 80)}</dd>`)}
      ${one.runbook && html`<dt>do first</dt><dd>${plain(one.runbook, 300)}</dd>`}</dl></li>`)}</ul>`;
}

function Anomalies({ found }) {
  if (found.network === null) return html`<p class="muted">Unknown: no peer has reported an anomaly rate yet.</p>`;
  const worst = Object.entries(found.peers).filter(([, ratio]) => ratio > 0).sort(([, a], [, b]) => b - a).slice(0, WORST_PEERS);
  return html`<p><strong>${percent(found.network)}</strong> of the recent measurements of ${counted(Object.keys(found.peers).length, "peer")} are unusual.</p>
    ${worst.length > 0 && html`<p>The highest: ${worst.map(([id, ratio]) => html`<span key=${id}><${PeerButton} id=${id} /> ${percent(ratio)} </span>`)}</p>`}`;
}

function Conduct({ found }) {
  if (found.length === 0) return html`<p class="muted">No neighbour of this peer misbehaves.</p>`;
  return html`<div class="scroll-x"><table class="plain-table"><thead><tr><th>Neighbour</th><th>State</th><th class="number">Score</th><th>For</th></tr></thead>
    <tbody>${found.map((one) => html`<tr key=${one.peer_id}><td><${PeerButton} id=${one.peer_id} /></td>
      <td>${plain(one.state, 16)}${one.banned_s === null ? "" : ` for ${duration(one.banned_s)}`}</td><td class="number">${decimal(one.score)}</td>
      <td>${Object.entries(one.reasons).map(([reason, times]) => `${plain(reason, 40)} ×${times}`).join(", ")}</td></tr>`)}</tbody></table></div>`;
}
