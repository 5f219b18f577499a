// Traffic of this agent: bytes and messages over the last hour, and latency by route.

import { html, signal } from "./vendor/preact.js";
import { Chart } from "./chart.js";
import { Choice, Panel } from "./tabs.js";
import { useAnswer } from "./ask.js";
import { age, bytes, count, decimal, latency, plain } from "./format.js";
import { NetworkMeasures } from "./measures.js";
import { me, simulation, wall } from "./state.js";

const EVERY_MS = 5_000;
const ROUTES_MAX = 100;
const span = signal("minutes");
const SPANS = [["seconds", "5 min"], ["minutes", "1 h"]];
const by = signal("region");

export function Traffic() {
  const { value, error } = useAnswer("throughput", EVERY_MS);
  const tools = html`<${Choice} of=${SPANS} value=${span} label="Span of the charts" />`;
  return html`<${Panel} name="traffic" title="Traffic of this peer" tools=${tools}
      note=${`Messages of ${plain(me.value?.short_id, 12)} and of its node.`}>
    ${!value ? html`<p class="muted loading-line">${error ? `No answer: ${plain(error.message, 80)}` : "Loading…"}</p>` : html`
      <${Flow} title="Mesh" flow=${value.mesh} note="between this agent and its neighbours, without QUIC's overhead" />
      ${value.node ? html`<${Flow} title="Node" flow=${value.node} note="reported by the node of this agent" />` : html`<${NoNode} />`}`}
    <${NetworkMeasures} />
    <${Routes} />
  <//>`;
}

function NoNode() {
  if (simulation.value) return html`<section class="flow"><h3>Node</h3>
    <p class="muted">Simulated peers have no node.</p></section>`;
  return html`<section class="flow" data-testid="no-node"><h3>Node</h3>
    <div class="empty small"><p>No node attached, so there is no traffic of your P2P program. Either</p>
      <ul><li>start the agent with <code>--node-source prometheus:http://127.0.0.1:9100/metrics</code>, <code>beam:PATH</code>
        or <code>yggdrasil:SOCKET</code>, or</li>
        <li>let the program post events to <code>/api/v1/telemetry</code>, one JSON object a line.</li></ul></div></section>`;
}

function Flow({ title, flow, note }) {
  const series = flow[span.value];
  const length = series.bytes_in_s.length;
  const end = Math.floor(wall() / series.step_s) * series.step_s;
  const times = series.bytes_in_s.map((_, i) => end - (length - 1 - i) * series.step_s);
  const rate = flow.current;
  return html`<section class="flow"><h3>${title} <span class="muted">${note}</span></h3>
    <dl class="rates">
      <div><dt>in</dt><dd>${rate ? `${bytes(rate.bytes_in_s)}/s` : "–"} <span class="muted">${rate ? `${decimal(rate.messages_in_s)} msg/s` : ""}</span></dd></div>
      <div><dt>out</dt><dd>${rate ? `${bytes(rate.bytes_out_s)}/s` : "–"} <span class="muted">${rate ? `${decimal(rate.messages_out_s)} msg/s` : ""}</span></dd></div>
      <div><dt>since ${age(flow.observed_s)}</dt><dd>${bytes(flow.bytes_in)} in, ${bytes(flow.bytes_out)} out</dd></div>
    </dl>
    <${Chart} times=${times} height=${150} binary label=${`${title}: bytes per second`} show=${(value) => `${bytes(value)}/s`}
      from=${end - (length - 1) * series.step_s} to=${end}
      lines=${[{ title: "in", values: series.bytes_in_s }, { title: "out", values: series.bytes_out_s }]} />
  </section>`;
}

function Routes() {
  const { value, error } = useAnswer(`routes?by=${by.value}&limit=${1000}`, EVERY_MS);
  const rows = [...(value ?? [])].sort((a, b) => b.delivered - a.delivered);
  return html`<section class="flow"><div class="panel-head"><h3>Routes <span class="muted">latency of messages with a known path, last hour</span></h3>
      <${Choice} of=${[["region", "by region"], ["peer", "by peer"]]} value=${by} label="Routes by" /></div>
    ${error && !value ? html`<p class="muted">No answer: ${plain(error.message, 80)}</p>` : rows.length === 0
      ? html`<p class="muted">${value ? "No message with a known path yet. Urgent records and hops of a node have one." : "Loading…"}</p>`
      : html`<div class="scroll-x"><table class="plain-table" data-testid="routes" aria-label="Latency by route">
        <thead><tr><th scope="col">Route</th><th scope="col">Layer</th><th scope="col" class="number">Messages</th>
          <th scope="col" class="number">p50</th><th scope="col" class="number">p95</th><th scope="col" class="number">p99</th><th scope="col" class="number">Lost</th></tr></thead>
        <tbody>${rows.slice(0, ROUTES_MAX).map((route) => html`<tr key=${`${route.layer} ${route.route}`}>
          <td class="route">${route.via.map((stop, i) => html`${i > 0 && html`<i aria-hidden="true"> › </i>`}<span>${plain(stop, 24)}</span>`)}${
            route.gone?.length > 0 && html` <span class="muted">(${route.gone.map((stop) => plain(stop, 24)).join(", ")} gone)</span>`}</td>
          <td>${plain(route.layer, 16)}</td><td class="number">${count(route.delivered)}</td>
          <td class="number">${latency(route.p50_s)}</td><td class="number">${latency(route.p95_s)}</td><td class="number">${latency(route.p99_s)}</td>
          <td class="number">${count(route.undelivered)}</td></tr>`)}</tbody></table></div>
        ${rows.length > ROUTES_MAX && html`<p class="muted">and ${rows.length - ROUTES_MAX} more</p>`}`}
  </section>`;
}
