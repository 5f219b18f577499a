// The alerts panel: active alerts by incident, ended alerts, threats, and silences.

import { html, signal } from "./vendor/preact.js";
import { AlertGroups, AlertRows, Linked, foldAlerts, linked } from "./alert-row.js";
import { Incident } from "./incidents.js";
import { Silences } from "./orders.js";
import { SEVERITIES, Severity, gravestFirst } from "./severities.js";
import { Choice, Panel } from "./tabs.js";
import { Threats } from "./threats.js";
import { OtherZonesAlerts, useOtherZones } from "./zones.js";
import { useAnswer } from "./ask.js";
import { UNWELL, alerts, health, isPast, live, panel, selected, statusFilter, trouble, unwellPeers } from "./state.js";
import { count, plain } from "./format.js";

const ENDED_MS = 15_000;

const view = signal(null);

export function Alerts() {
  const open = live.trouble.value.incidents.filter(({ state }) => state === "open").length;
  const views = [
    ["active", `Active ${live.alerts.value.size}`],
    ["ended", "Ended"],
    ["threats", "Threats"],
    ["silences", `Silences ${live.trouble.value.silences.length}`],
  ];
  const shown = isPast.value ? "active" : view.value ?? "active";
  return html`<${Panel} name="alerts" title="Alerts" note=${noteOf(open)}
      tools=${!isPast.value && html`<${Choice} of=${views} value=${view} label="What is shown" usual="active" />`}>
    ${linked.value !== null && !isPast.value && html`<${Linked} />`}
    ${shown === "active" && html`<${Active} />`}
    ${shown === "ended" && html`<${Ended} />`}
    ${shown === "threats" && html`<${Threats} />`}
    ${shown === "silences" && html`<${Silences} />`}
  <//>`;
}

function noteOf(open) {
  if (isPast.value) return "Alerts at this time. Incidents are not recorded.";
  return open === 0 ? "Alerts that need attention." : `${open} open ${open === 1 ? "incident" : "incidents"}: alerts with one probable cause.`;
}

function Active() {
  const zones = useOtherZones();
  const incidents = gravestFirst(trouble.value.incidents.filter(({ state }) => state === "open"));
  const grouped = new Set(incidents.map(({ id }) => id));
  const alone = gravestFirst([...alerts.value.values()].filter(({ incident }) => !grouped.has(incident)));
  const total = Object.values(trouble.value.firing).reduce((sum, number) => sum + number, 0);
  const listed = [...alerts.value.values()].filter(({ state }) => state === "firing").length;
  return html`
    ${incidents.length === 0 && alone.length === 0 && html`<${Quiet} where=${zones.length > 0 ? "our zone" : "the whole network"} />`}
    ${runsOf(incidents, foldAlerts(alone)).map((run) => run.incident
      ? html`<${Incident} key=${run.incident.id} incident=${run.incident} />`
      : html`<${AlertGroups} key=${run.groups[0].id} groups=${run.groups} />`)}
    ${total > listed && html`<p class="muted">The gravest ${count(listed)} of ${count(total)} alerts. <code>peerscope alerts</code> lists them all.</p>`}
    <${OtherZonesAlerts} zones=${zones} />`;
}

/** Incidents and alerts outside of them in one order, the gravest and newest first; alerts in a row are one list. */
function runsOf(incidents, groups) {
  const runs = [];
  for (const one of gravestFirst([...incidents, ...groups])) {
    const last = runs[runs.length - 1];
    if (!one.alerts?.length) runs.push({ incident: one });
    else if (last?.groups) last.groups.push(one);
    else runs.push({ groups: [one] });
  }
  return runs;
}

/** No alert fires. This is good only if no peer is down or unhealthy. */
function Quiet({ where }) {
  const unwell = unwellPeers(health.value);
  if (unwell === null) return html`<div class="empty" data-testid="quiet" data-well="unknown"><h3>Not known yet</h3>
    <p>This peer has sent no data yet.</p></div>`;
  const show = () => {
    selected.value = null;
    statusFilter.value = new Set(UNWELL);
  };
  if (unwell > 0) return html`<div class="empty" data-testid="quiet" data-well="no"><h3>${isPast.value ? "No alert fired then" : "No alert fires now"}</h3>
    <p>In ${where}: <button class="link" onClick=${show}>${unwell} ${unwell === 1 ? "peer" : "peers"} down or unhealthy</button>.</p></div>`;
  return html`<div class="empty quiet" data-testid="quiet" data-well="yes"><h3><span aria-hidden="true">✓</span> ${isPast.value ? "Nothing was wrong" : "Nothing needs you"}</h3>
    <p>No alert fires in ${where}, and no peer is down or unhealthy.</p></div>`;
}

function Ended() {
  const { value, error } = useAnswer("alerts?state=ended&limit=200", ENDED_MS);
  const closed = live.trouble.value.incidents.filter(({ state }) => state !== "open");
  if (value === null) return html`<p class="muted">${error ? plain(error.message, 120) : "Loading…"}</p>`;
  if (value.length === 0 && closed.length === 0) return html`<div class="empty small"><h3>Nothing ended within a day</h3>
    <p>Ended alerts and incidents stay here for 24 hours.</p></div>`;
  const latest = [...value].sort((a, b) => b.resolved_at - a.resolved_at);
  return html`${closed.map((incident) => html`<${Incident} key=${incident.id} incident=${incident} />`)}<${AlertRows} list=${latest} />`;
}

/** Counts of firing alerts by severity, in the header. */
export function AlertCounts() {
  const { firing } = trouble.value;
  const some = SEVERITIES.filter((severity) => firing[severity] > 0);
  const words = some.map((severity) => `${firing[severity]} ${severity}`).join(", ") || "none";
  return html`<button class="alarms" data-testid="fact-alerts" aria-label=${`Alerts: ${words}`} title=${`Firing alerts: ${words}`}
      onClick=${() => { panel.value = "alerts"; }}>
    <span class="muted">alerts</span>
    <span class="by-severity">${some.length === 0 ? html`<b class="muted">none</b>`
      : some.map((severity) => html`<b key=${severity} class=${severity}><${Severity} of=${severity} />${count(firing[severity])}</b>`)}</span>
  </button>`;
}
