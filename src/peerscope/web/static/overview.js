// The header: a summary of the network.

import { html } from "./vendor/preact.js";
import { AlertCounts } from "./alerts.js";
import { Glyph } from "./statuses.js";
import { Spark } from "./spark.js";
import { feed, health, heardAt, me, now, simulation, statusFilter, toggleStatus, trends, verdicts, wall } from "./state.js";
import { useAnswer } from "./ask.js";
import { age, count, duration, latency, percent, plain } from "./format.js";

const COUNTS = ["healthy", "degraded", "unhealthy", "unknown", "down"];
const SPARK_MS = 60_000;

export function Overview() {
  const totals = health.value ?? {};
  const mine = me.value;
  return html`<header class="overview">
    <div class="brand">
      <img src="static/icon.svg" alt="" width="30" height="30" />
      <div><strong>peerscope</strong><span title=${plain(mine?.network)}>${plain(mine?.network, 28) || "network"}</span></div>
    </div>
    <div class="counts" role="group" aria-label="Peers by status">
      <div class="count total" title=${verdictWords()}>
        <b data-testid="count-total">${count(totals.total_peers)}</b><span>peers</span>
      </div>
      <${PastHour} />
      ${COUNTS.map((status) => html`<${Count} key=${status} status=${status} value=${totals[`${status}_peers`]} />`)}
    </div>
    <${AlertCounts} />
    <dl class="facts">
      <div data-testid="fact-connectivity" title="Share of the expected links that are up"><dt>connectivity</dt><dd>${percent(totals.connectivity)}</dd></div>
      <div title=${`mean ${latency(totals.average_latency_s)}`}><dt>median RTT</dt>
        <dd>${latency(totals.median_latency_s)} <${Arrow} trend=${trends.value?.average_latency} worse="up" /></dd></div>
      <div class="wide" title="Mean of the last hour"><dt>errors, 1 h</dt><dd>${percent(trends.value?.error_rate?.current)} <${Arrow} trend=${trends.value?.error_rate} worse="up" /></dd></div>
      <div class="mine"><dt>this peer</dt><dd><code title=${plain(mine?.peer_id)}>${mine ? plain(mine.peer_id, 65).slice(0, 10) : "–"}</code>
        ${mine?.region && html` <span class="muted" title=${plain(mine.region)}>${plain(mine.region, 16)}</span>`}</dd></div>
    </dl>
    <div class="state">
      <${FeedState} />
      <${Clock} />
    </div>
  </header>
  <${Simulated} />
  <${Shares} totals=${totals} />`;
}

function verdictWords() {
  const words = Object.entries(verdicts.value).filter(([, peers]) => peers > 0).map(([verdict, peers]) => `${peers} ${verdict}`);
  return words.length > 0 ? `By verdict: ${words.join(", ")}` : null;
}

function Count({ status, value }) {
  const pressed = statusFilter.value.has(status);
  return html`<button class="count ${status}" data-none=${value === 0 ? "" : null} aria-pressed=${String(pressed)}
      title=${pressed ? "Show every status again" : `Show ${status} peers only`} onClick=${() => toggleStatus(status)}>
    <b data-testid=${`count-${status}`}>${count(value)}</b>
    <span><${Glyph} status=${status} />${status}</span>
  </button>`;
}

/** Healthy peers in the last hour, and their trend. */
function PastHour() {
  const { value } = useAnswer(me.value?.keeps_history ? "history?metric=network_healthy&since=1h&step=60s" : null, SPARK_MS);
  const trend = trends.value?.peer_count;
  return html`<div class="past-hour">
    <${Spark} values=${(value?.samples ?? []).map(([, sample]) => sample)} label="Healthy peers in the last hour" />
    <${Arrow} trend=${trend} worse="down" />
  </div>`;
}

const ARROWS = { up: "▲", down: "▼", stable: "▬" };

/** The trend from the day before to the last hour; nothing without enough data. */
function Arrow({ trend, worse }) {
  if (!trend || !(trend.direction in ARROWS)) return null;
  const change = trend.change_ratio === null ? trend.direction : `${trend.change_ratio > 0 ? "+" : "−"}${percent(Math.abs(trend.change_ratio))}`;
  return html`<span class=${`arrow ${trend.direction === worse ? "worse" : ""}`} role="img"
    aria-label=${`trend ${trend.direction}`} title=${`${change} against the 23 hours before`}>${ARROWS[trend.direction]}</span>`;
}

/** A banner for a simulated network. */
function Simulated() {
  const run = simulation.value;
  if (run === null) return null;
  void now.value; // tick
  const virtual = run.virtual_s + (heardAt.value === null ? 0 : (now.value - heardAt.value) * (run.pace ?? run.speed));
  const slow = run.pace !== null && run.pace < run.speed * 0.9;
  const next = run.next_step && ` · ${plain(run.next_step, 40)} in ${duration(Math.max(0, run.next_step_s - virtual))}`;
  return html`<div class="simulated" data-testid="simulated" role="note">
    <strong>SIMULATED</strong>
    <span>${plain(run.scenario, 40)} · seed ${run.seed} · ${duration(virtual)} of virtual time at ${Number((slow ? run.pace : run.speed).toPrecision(2))}×${
      slow ? ` (this machine is too slow for ${run.speed}×)` : ""}${next}</span>
    <span class="summary">${plain(run.summary, 160)}</span></div>`;
}

/** A thin line with the share of each status, readable from a distance. */
function Shares({ totals }) {
  return html`<div class="shares" aria-hidden="true">
    ${COUNTS.filter((status) => totals[`${status}_peers`] > 0).map((status) => html`<i key=${status} class=${status} style=${{ flexGrow: totals[`${status}_peers`] }} />`)}
  </div>`;
}

const STATES = { connecting: "connecting", live: "live", waiting: "reconnecting", refused: "token needed" };

export function FeedState() {
  const { name, retryAt } = feed.value;
  const seconds = retryAt === null ? null : Math.max(1, Math.ceil(retryAt - now.value));
  const text = seconds === null ? STATES[name] : `${STATES[name]} in ${seconds} s`;
  const since = heardAt.value === null ? "nothing received yet" : `last message ${age(now.value - heardAt.value)} ago`;
  return html`<span class="feed ${name}" data-testid="feed-state" data-state=${name} role="status" title=${since}>${text}</span>`;
}

function Clock() {
  void now.value; // tick
  return html`<time class="clock">${new Date(wall() * 1000).toLocaleTimeString()}</time>`;
}
