// Other zones of a divided network, by the summaries of their aggregators.

import { html } from "./vendor/preact.js";
import { useAnswer } from "./ask.js";
import { SEVERITIES, Severity } from "./severities.js";
import { isPast } from "./state.js";
import { age, count, latency, percent, plain } from "./format.js";

const REFRESH_MS = 10_000;

/** All zones but ours; none in a network of one zone, and none while the past is visible. */
export function useOtherZones() {
  const { value } = useAnswer(isPast.value ? null : "zones", REFRESH_MS);
  return (value ?? []).filter(({ is_ours: ours }) => !ours);
}

/** The zones that the map does not show, one line each. */
export function OtherZones() {
  const zones = useOtherZones();
  if (zones.length === 0) return null;
  return html`<h3>Other zones <span class="muted">${zones.length}, in summary; map and table show the peers of our zone</span></h3>
    <table class="plain-table" data-testid="other-zones">
      <thead><tr><th>Zone</th><th>Peers</th><th>Healthy</th><th>Down</th><th>Median RTT</th><th>Links</th><th>Alerts</th><th>Age</th></tr></thead>
      <tbody>${zones.map((zone) => html`<tr key=${zone.zone}>
        <td><code>${plain(zone.zone, 64)}</code></td><td>${count(zone.total_peers)}</td><td>${count(zone.healthy_peers)}</td>
        <td>${count(zone.down_peers)}</td><td>${latency(zone.median_latency_s)}</td><td>${percent(zone.connectivity)}</td>
        <td>${count(alertsOf(zone))}</td><td>${age(zone.age_s)}</td></tr>`)}</tbody>
    </table>`;
}

/** The gravest alerts of other zones. Their ids are enough to acknowledge them from here. */
export function OtherZonesAlerts({ zones }) {
  const troubled = zones.filter((zone) => alertsOf(zone) > 0);
  if (troubled.length === 0) return null;
  return html`<h3>In other zones <span class="muted">${count(troubled.reduce((sum, zone) => sum + alertsOf(zone), 0))}</span></h3>
    <ul class="headlines" data-testid="other-zones-alerts">${troubled.map((zone) => html`<li key=${zone.zone}>
      <b><code>${plain(zone.zone, 64)}</code></b> <span class="muted">${count(alertsOf(zone))} active</span>
      <ul>${zone.headlines.map((line) => html`<li key=${line.id}><${Severity} of=${severityOf(line)} label /> ${plain(line.title, 160)}
        <code class="muted">${plain(line.id, 120)}</code></li>`)}</ul></li>`)}</ul>
    <p class="muted">The gravest of each zone. <code>peerscope ack ID</code> on any peer acknowledges one.</p>`;
}

function alertsOf({ alerts }) {
  return Object.values(alerts).reduce((sum, number) => sum + number, 0);
}

function severityOf({ severity }) {
  return SEVERITIES[SEVERITIES.length - 1 - severity];
}
