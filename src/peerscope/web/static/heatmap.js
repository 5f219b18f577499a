// Latency between regions, measured or estimated.

import { html, signal } from "./vendor/preact.js";
import { Choice, Panel } from "./tabs.js";
import { peers } from "./state.js";
import { useAnswer } from "./ask.js";
import { bareMs, latency, plain } from "./format.js";

const EVERY_MS = 10_000;
/** Regions shown at first, the largest ones. */
const REGIONS_MAX = 24;
/** Up to this many regions, cells are large. */
const FEW = 8;
/** Upper ends of the colour steps, in seconds, closer where users notice a difference. */
const STEPS_S = [0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3];

const field = signal("median_s");
const everything = signal(false);
const FIELDS = [["median_s", "p50"], ["p95_s", "p95"]];

/** 0..7: the step of colour of a round trip. */
export function step(seconds) {
  const found = STEPS_S.findIndex((end) => seconds < end);
  return found < 0 ? STEPS_S.length : found;
}

export function Heatmap() {
  const { value, error } = useAnswer("latency", EVERY_MS);
  const tools = html`<${Choice} of=${FIELDS} value=${field} label="Which latency" />`;
  return html`<${Panel} name="latency" title="Latency between regions" tools=${tools}
      note="Round trips. Links measure some pairs of peers; network coordinates estimate the rest.">
    ${value ? html`<${Matrix} matrix=${value} />` : error
      ? html`<div class="empty"><h3>No answer</h3><p>${plain(error.message, 120)}. The page asks again.</p></div>`
      : html`<p class="muted loading-line">Loading…</p>`}
  <//>`;
}

function Matrix({ matrix }) {
  if (matrix.regions.length === 0) return html`<div class="empty"><h3>No region is known</h3>
    <p>Start agents with <code>--region NAME</code>, or let the country of their address decide with <code>peer.geo</code>.
      Peers without either are grouped by latency after some minutes.</p></div>`;
  const names = shownRegions(matrix.regions);
  const cells = new Map(matrix.pairs.map((pair) => [`${pair.source}\n${pair.target}`, pair]));
  const of = (one, other) => cells.get(`${one}\n${other}`) ?? cells.get(`${other}\n${one}`);
  return html`<div class="scroll-both"><table class=${`heatmap ${names.length <= FEW ? "few" : ""}`} data-testid="heatmap" aria-label="Latency by pair of regions">
      <thead><tr><td></td>${names.map((name) => html`<th scope="col" key=${name} title=${plain(name)}><span>${plain(name, 16)}</span></th>`)}</tr></thead>
      <tbody>${names.map((row) => html`<tr key=${row}><th scope="row" title=${plain(row)}>${plain(row, 20)}</th>
        ${names.map((column) => html`<${Cell} key=${column} row=${row} column=${column} pair=${of(row, column)} />`)}</tr>`)}</tbody>
    </table></div>
    <${Scale} />
    ${matrix.regions.length > REGIONS_MAX && html`<button class="more" onClick=${() => { everything.value = !everything.value; }}>${
      everything.value ? `Show the ${REGIONS_MAX} largest` : `Show all ${matrix.regions.length} regions`}</button>`}`;
}

function shownRegions(regions) {
  if (everything.value || regions.length <= REGIONS_MAX) return regions;
  const sizes = new Map();
  for (const { region } of peers.value.values()) sizes.set(region, (sizes.get(region) ?? 0) + 1);
  return [...regions].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0)).slice(0, REGIONS_MAX).sort();
}

function Cell({ row, column, pair }) {
  const found = pair?.measured ?? pair?.estimated;
  const where = row === column ? `inside ${plain(row)}` : `${plain(row)} – ${plain(column)}`;
  if (!found) return html`<td class="none-known" title=${`${where}: not measured, and no coordinates`}>–</td>`;
  const seconds = found[field.value];
  const words = ["measured", "estimated"].filter((kind) => pair[kind]).map((kind) => (
    `${kind}: ${latency(pair[kind].median_s)} median, ${latency(pair[kind].p95_s)} p95 of ${pair[kind].count}`));
  const estimated = !pair.measured;
  return html`<td class=${`heat-${step(seconds)} ${estimated ? "estimated" : ""}`} data-kind=${estimated ? "estimated" : "measured"}
    title=${`${where}\n${words.join("\n")}`}>${estimated ? "~" : ""}${bareMs(seconds)}</td>`;
}

function Scale() {
  return html`<div class="scale" aria-label="Key"><span>ms</span>${[...STEPS_S, Infinity].map((end, i) => html`
      <span key=${i} class=${`heat-${i}`}>${i === STEPS_S.length ? `≥ ${STEPS_S[i - 1] * 1000}` : `< ${end * 1000}`}</span>`)}
    <span class="heat-2 estimated">~ estimated</span></div>`;
}
