// The drawer's charts: measurements of one peer over the last hour, day or month.

import { html, signal } from "./vendor/preact.js";
import { Chart } from "./chart.js";
import { Choice } from "./tabs.js";
import { useAnswer } from "./ask.js";
import { me } from "./state.js";
import { onAxis, unitOf } from "./measures.js";
import { bytes, decimal, isNumber, latency, percent, plain } from "./format.js";

const SPANS = { "1h": 3600, "24h": 86400, "30d": 2592000 };
const TITLES = [["1h", "1 h"], ["24h", "24 h"], ["30d", "30 d"]];
const STEPS = { "1h": "10s", "24h": "5m", "30d": "2h" };
const EVERY_MS = { "1h": 15_000, "24h": 60_000, "30d": 300_000 };

const perSecond = (value) => `${decimal(value)}/s`;
const bytesPerSecond = (value) => `${bytes(value)}/s`;
/** Charts with their series and unit. A peer without a node has no charts of a node. */
const CHARTS = [
  { title: "CPU and memory", show: percent, ratio: true, series: [["cpu_ratio", "CPU"], ["memory_ratio", "memory"]] },
  { title: "Round trip, median of its links", show: latency, series: [["link_rtt_s", "median"], ["link_rtt_s_max", "highest"]] },
  { title: "Loss", show: percent, ratio: true, series: [["link_loss_ratio", "mean of its links"]] },
  { title: "Host traffic", show: bytesPerSecond, binary: true, series: [["received_bytes_s", "in"], ["sent_bytes_s", "out"]] },
  { title: "Node: connections", show: decimal, node: true, series: [["node_connections", "connections"], ["node_peers", "peers"], ["node_tunnels", "tunnels"]] },
  { title: "Node: messages", show: perSecond, node: true, series: [["node_messages_per_s", "messages"], ["node_errors_per_s", "errors"]] },
];

const span = signal("1h");

export function Series({ peer, measures }) {
  if (me.value && !me.value.keeps_history) return html`<p class="muted">This agent keeps no history: <code>history.enabled</code> is false in its settings.</p>`;
  return html`<div class="series">
    <${Choice} of=${TITLES} value=${span} label="Span of the charts" />
    ${CHARTS.filter((chart) => !chart.node || peer.node).map((chart) => html`
      <${One} key=${chart.title} chart=${chart} peer=${peer.peer_id} />`)}
    ${(measures ?? []).map((one) => html`<${One} key=${`own ${one.name}`} chart=${ownChart(one)} peer=${peer.peer_id} />`)}
  </div>`;
}

/** A chart of a value that the node names itself. */
function ownChart(measure) {
  const { name, unit, is_counter } = measure;
  return {
    title: `Node: ${plain(name, 48)}${unitOf(measure)}`,
    show: onAxis(unit, is_counter),
    binary: unit === "bytes",
    tight: true,
    series: [[`measure:${name}`, plain(name, 48)]],
  };
}

function One({ chart, peer }) {
  const since = span.value;
  const answers = chart.series.map(([metric]) => useAnswer(
    `history?metric=${metric}&peer=${encodeURIComponent(peer)}&since=${since}&step=${STEPS[since]}`, EVERY_MS[since],
  ));
  const failed = answers.find(({ error, value }) => error && !value);
  const isLoaded = answers.every(({ value }) => value);
  return html`<figure class="one-series"><figcaption>${chart.title}</figcaption>${failed
    ? html`<p class="muted">${plain(failed.error.message, 80)}</p>`
    : !isLoaded ? html`<div class="chart waiting" aria-hidden="true"></div>`
      : html`<${Drawn} chart=${chart} answers=${answers.map(({ value }) => value)} since=${since} />`}</figure>`;
}

function Drawn({ chart, answers, since }) {
  const times = answers[0].samples.map(([at]) => at);
  const lines = answers.map((answer, i) => {
    const values = new Map(answer.samples);
    return { title: chart.series[i][1], values: times.map((at) => values.get(at) ?? null) };
  });
  if (!lines.some(({ values }) => values.some(isNumber))) return html`<p class="muted">Not measured.</p>`;
  const to = times.at(-1) ?? 0;
  return html`<${Chart} times=${times} lines=${lines} show=${chart.show} ratio=${chart.ratio} binary=${chart.binary} tight=${chart.tight} height=${104}
    from=${to - SPANS[since]} to=${to} label=${`${chart.title}, last ${since}`} />`;
}
