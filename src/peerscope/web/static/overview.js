// The header: the network in one glance.

import { html } from "./vendor/preact.js";
import { Glyph } from "./statuses.js";
import { feed, health, heardAt, me, now, statusFilter, toggleStatus } from "./state.js";
import { age, count, latency, percent, plain } from "./format.js";

const COUNTS = ["healthy", "degraded", "unhealthy", "unknown", "down"];

export function Overview() {
  const totals = health.value ?? {};
  const mine = me.value;
  return html`<header class="overview">
    <div class="brand">
      <img src="static/icon.svg" alt="" width="30" height="30" />
      <div><strong>peerscope</strong><span title=${plain(mine?.network)}>${plain(mine?.network, 28) || "network"}</span></div>
    </div>
    <div class="counts" role="group" aria-label="Peers by status">
      <div class="count">
        <b data-testid="count-total">${count(totals.total_peers)}</b><span>peers</span>
      </div>
      ${COUNTS.map((status) => html`<${Count} key=${status} status=${status} value=${totals[`${status}_peers`]} />`)}
    </div>
    <dl class="facts">
      <div><dt>connectivity</dt><dd>${percent(totals.connectivity)}</dd></div>
      <div title=${`mean ${latency(totals.average_latency_s)}`}><dt>median RTT</dt><dd>${latency(totals.median_latency_s)}</dd></div>
      <div class="mine"><dt>this peer</dt><dd><code title=${plain(mine?.peer_id)}>${mine ? plain(mine.peer_id, 65).slice(0, 10) : "–"}</code>
        ${mine?.region && html` <span class="muted" title=${plain(mine.region)}>${plain(mine.region, 16)}</span>`}</dd></div>
    </dl>
    <div class="state">
      <${FeedState} />
      <${Clock} />
    </div>
  </header>
  <${Shares} totals=${totals} />`;
}

function Count({ status, value }) {
  const pressed = statusFilter.value.has(status);
  return html`<button class="count ${status}" data-none=${value === 0 ? "" : null} aria-pressed=${String(pressed)}
      title=${pressed ? "Show every status again" : `Show ${status} peers only`} onClick=${() => toggleStatus(status)}>
    <b data-testid=${`count-${status}`}>${count(value)}</b>
    <span><${Glyph} status=${status} />${status}</span>
  </button>`;
}

/** A thin line of the shares of each status, readable from across the room. */
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
  return html`<time class="clock">${new Date().toLocaleTimeString()}</time>`;
}
