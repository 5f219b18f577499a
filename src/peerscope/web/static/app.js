// The composition root of the dashboard: builds the feed, wires it to the state, draws the page.

import { effect, html, render } from "./vendor/preact.js";
import { linked } from "./alert-row.js";
import { Alerts } from "./alerts.js";
import { Drawer } from "./drawer.js";
import { Feed } from "./feed.js";
import { Heatmap } from "./heatmap.js";
import { Topology } from "./map.js";
import { Stale, Welcome } from "./notices.js";
import { Overview } from "./overview.js";
import { Peers } from "./peers.js";
import { Tabs, isPanel } from "./tabs.js";
import { Then, backToNow } from "./time-bar.js";
import { Traffic } from "./traffic.js";
import { Regions } from "./world.js";
import { feedAddress, get, readFragment, remember } from "./session.js";
import { apply, feed as feedState, isPast, live, me, monotonic, now, panel, selected } from "./state.js";
import { plain } from "./format.js";

open(readFragment());

const feed = new Feed({
  address: feedAddress,
  take: (message) => {
    reloadIfUpgraded(message.data?.self?.version);
    apply(message);
  },
  report: (state) => { feedState.value = state; },
  refused: () => get("self").then(() => false, (error) => error.status === 401 || error.status === 403),
});

/** Open the peer, the panel and the alert in the address. */
function open(named) {
  if (named.peer) selected.value = named.peer;
  if (isPanel(named.panel)) panel.value = named.panel;
  if (named.alert) {
    linked.value = named.alert;
    panel.value = "alerts";
  }
}

/** An agent that was upgraded may send what this page does not understand, and has a page that does. */
function reloadIfUpgraded(version) {
  const before = me.value?.version;
  if (before && version && version !== before) location.reload();
}

function App() {
  return html`
    <${Overview} />
    <${Stale} retry=${() => feed.retry()} />
    <main class=${`${selected.value === null ? "" : "with-drawer"} ${isPast.value ? "is-past" : ""}`}>
      <div class="stage">
        <div class="tabs-row"><${Tabs} /><${Then} /></div>
        <div class="panels" role=${panel.value === "topology" ? "tabpanel" : null} aria-labelledby="tab-topology" id="panel-topology">
          <div class="backdrop" inert=${panel.value !== "topology"}><${Topology} /></div>
          ${panel.value === "regions" && html`<${Regions} />`}
          ${panel.value === "latency" && html`<${Heatmap} />`}
          ${panel.value === "traffic" && html`<${Traffic} />`}
          ${panel.value === "alerts" && html`<${Alerts} />`}
          <${Welcome} connect=${() => feed.connect()} />
        </div>
      </div>
      <div class="side"><${Peers} /><${Drawer} /></div>
    </main>`;
}

setInterval(() => { now.value = monotonic(); }, 1000);

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  if (selected.value !== null) selected.value = null;
  else if (isPast.value) backToNow();
});
window.addEventListener("hashchange", () => {
  open(readFragment());
});

effect(() => remember({ panel: panel.value === "topology" ? null : panel.value, peer: selected.value, alert: linked.value }));
effect(() => {
  // The title shows an operator with many tabs which network has problems.
  const bad = (live.health.value?.unhealthy_peers ?? 0) + (live.health.value?.down_peers ?? 0);
  const network = plain(me.value?.network, 40);
  document.title = `${bad > 0 ? `(${bad}) ` : ""}${network ? `${network} · ` : ""}peerscope`;
});

feed.connect(); // the answer arrives while the page is drawn
render(html`<${App} />`, document.getElementById("app"));
