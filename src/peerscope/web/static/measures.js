// Values that nodes name themselves: one peer's in the drawer, and all nodes' as tables and charts.

import { html } from "./vendor/preact.js";
import { Chart } from "./chart.js";
import { useAnswer } from "./ask.js";
import { bytes, decimal, isNumber, latency, percent, plain } from "./format.js";
import { me } from "./state.js";

const EVERY_MS = 15_000;
const SPAN_S = 3600;
/** Charts of the network; each asks for three series. */
const CHARTS_MAX = 8;
const NAME_MAX = 48;
const UNIT_MAX = 16;

/** Writes values on the axis of a chart, whose title has the unit. */
export const onAxis = (unit, rate) => (value) => (["ratio", "bytes", "seconds"].includes(unit) ? measured(value, unit, rate) : measured(value, "", false));

/** The unit for a title, in brackets; empty where the values show it. */
export function unitOf({ unit, is_counter }) {
  if (["ratio", "bytes", "seconds"].includes(unit)) return "";
  const text = `${plain(unit, UNIT_MAX)}${is_counter ? "/s" : ""}`;
  return text ? ` (${text})` : "";
}

/** A value in the unit that the node gives. `rate`: it is an increase per second. */
export function measured(value, unit, rate = false) {
  if (!isNumber(value)) return "–";
  const per = rate ? "/s" : "";
  if (unit === "ratio" && !rate) return percent(value);
  if (unit === "bytes") return `${bytes(value)}${per}`;
  if (unit === "seconds" && !rate && value >= 0) return latency(value);
  const shown = Number.isSafeInteger(value) ? value.toLocaleString("en") : decimal(value);
  return unit ? `${shown} ${plain(unit, UNIT_MAX)}${per}` : `${shown}${per}`;
}

/** One peer's own values in the drawer. */
export function PeerMeasures({ measures }) {
  if (!measures?.length) return null;
  return html`<dl class="pairs metrics" data-testid="measures">${measures.map(({ name, value, unit, is_counter }) => html`
    <dt key=${name} title=${is_counter ? "a running total" : null}>${plain(name, NAME_MAX)}</dt>
    <dd class=${value === null ? "muted" : null}>${value === null ? "not measured" : measured(value, unit)}</dd>`)}</dl>`;
}

/** All nodes' own values, by kind of node; nothing where no node names any. */
export function NetworkMeasures() {
  const { value } = useAnswer("metrics", EVERY_MS);
  const found = value?.measures ?? [];
  if (found.length === 0) return null;
  return html`<section class="flow" data-testid="network-measures">
    <h3>Measures of all nodes <span class="muted">values that nodes name themselves; totals are increases per second</span></h3>
    <div class="scroll-x"><table class="plain-table" aria-label="Measures of all nodes">
      <thead><tr><th scope="col">Measure</th><th scope="col">Nodes</th><th scope="col" class="number">Peers</th>
        <th scope="col" class="number">Lowest</th><th scope="col" class="number">Median</th><th scope="col" class="number">Highest</th></tr></thead>
      <tbody>${found.map((one) => html`<tr key=${`${one.node} ${one.name} ${one.unit} ${one.is_counter}`}>
        <td>${plain(one.name, NAME_MAX)}</td><td>${plain(one.node, NAME_MAX)}</td>
        <td class="number" title=${one.other_peers ? `${one.other_peers} peers give it another unit and are not compared` : null}>${one.peers}${one.other_peers > 0 && html`<span class="muted"> (+${one.other_peers})</span>`}</td>
        ${["min", "median", "max"].map((field) => html`<td class="number" key=${field}>${measured(one[field], one.unit, one.is_counter)}</td>`)}</tr>`)}</tbody></table></div>
    ${me.value?.keeps_history && found.slice(0, CHARTS_MAX).map((one) => html`
      <${NetworkChart} key=${`${one.node} ${one.name} ${one.unit}`} one=${one} />`)}
  </section>`;
}

function NetworkChart({ one }) {
  const answers = ["median", "min", "max"].map((statistic) => useAnswer(
    `history?metric=${encodeURIComponent(`measure_${statistic}:${one.name}@${one.node}`)}&since=1h&step=10s`, EVERY_MS,
  ).value);
  if (!answers.every(Boolean)) return null;
  const [middle, low, high] = answers.map(({ samples }) => new Map(samples));
  const times = answers[0].samples.map(([at]) => at);
  const to = times.at(-1) ?? 0;
  const title = `${plain(one.name, NAME_MAX)} of ${plain(one.node, NAME_MAX)} nodes`;
  return html`<figure class="one-series"><figcaption>${title}${unitOf(one)}, last hour</figcaption>
    <${Chart} times=${times} height=${104} tight binary=${one.unit === "bytes"} from=${to - SPAN_S} to=${to} label=${`${title}, last hour`}
      show=${onAxis(one.unit, one.is_counter)}
      lines=${[["median", middle], ["lowest", low], ["highest", high]].map(([name, values]) => ({ title: name, values: times.map((at) => values.get(at) ?? null) }))} />
  </figure>`;
}
