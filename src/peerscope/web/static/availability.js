// Availability of the network, its regions and its worst peers, by window.

import { html, signal } from "./vendor/preact.js";
import { Choice } from "./tabs.js";
import { useAnswer } from "./ask.js";
import { count, counted, duration, plain } from "./format.js";
import { me, nodes, selected } from "./state.js";

const EVERY_MS = 60_000;
const PEERS_MAX = 10;
const SPANS = [["1h", "1 h"], ["24h", "24 h"], ["7d", "7 d"], ["30d", "30 d"]];
const span = signal("24h");

export function Availability() {
  const keeps = me.value?.keeps_history !== false;
  const { value, error } = useAnswer(keeps ? `availability?since=${span.value}&limit=1000` : null, EVERY_MS);
  if (!keeps) return null;
  const all = (value ?? []).filter((row) => row.scope !== "peer");
  const peers = (value ?? []).filter((row) => row.scope === "peer" && (row.down_s > 0 || row.up_ratio === null))
    .sort((a, b) => (a.up_ratio ?? 2) - (b.up_ratio ?? 2) || (a.id < b.id ? -1 : 1));
  const rows = [...all, ...peers.slice(0, PEERS_MAX)];
  return html`<section class="flow"><div class="panel-head"><h3>Availability <span class="muted">share of time up, as this peer saw it</span></h3>
      <${Choice} of=${SPANS} value=${span} label="Window of availability" /></div>
    ${!value ? html`<p class="muted">${error ? `No answer: ${plain(error.message, 80)}` : "Loading…"}</p>` : html`
      <div class="scroll-x"><table class="plain-table" data-testid="availability" aria-label="Availability">
        <thead><tr><th scope="col">About</th><th scope="col" class="number">Up</th><th scope="col" class="number">Down for</th>
          <th scope="col" class="number" title="Left with a goodbye, or down within a silence that was ordered in advance. Does not count.">Planned</th>
          <th scope="col" class="number" title="This peer did not run or slept. Does not count.">Unknown</th></tr></thead>
        <tbody>${rows.map((row) => html`<tr key=${`${row.scope} ${row.id}`} data-scope=${row.scope}>
          <td>${about(row)}</td><td class="number">${share(row.up_ratio)}</td><td class="number">${length(row.down_s)}</td>
          <td class="number">${length(row.planned_s)}</td><td class="number">${length(row.unknown_s)}</td></tr>`)}</tbody></table></div>
      <p class="muted">Times of a region and of the network are sums over their peers. ${
        peers.length === 0 ? "No peer was down in this time." : peers.length > PEERS_MAX ? `The ${PEERS_MAX} least available of ${count(peers.length)} peers that were down.` : ""}</p>`}
  </section>`;
}

function about({ scope, id, peers }) {
  if (scope === "network") return html`<b>Network</b> <span class="muted">${counted(peers, "peer")}</span>`;
  if (scope === "region") return html`${plain(id, 32)} <span class="muted">${counted(peers, "peer")}</span>`;
  return nodes.value.has(id)
    ? html`<button class="link plain-link" onClick=${() => { selected.value = id; }}><code>${id.slice(0, 10)}</code></button>`
    : html`<code>${id.slice(0, 10)}</code>`;
}

/** Enough digits that a short outage within 30 days shows; never rounded up to 100 %. */
function share(ratio) {
  return ratio === null ? "–" : `${(Math.floor(ratio * 100_000) / 1000).toFixed(3)} %`;
}

function length(seconds) {
  return seconds === 0 ? "–" : duration(seconds);
}
