// The composition root of the dashboard: builds the feed, wires it to the state, draws the page.

import { effect, html, render } from "./vendor/preact.js";
import { Drawer } from "./drawer.js";
import { Feed } from "./feed.js";
import { Topology } from "./map.js";
import { Stale, Welcome } from "./notices.js";
import { Overview } from "./overview.js";
import { Peers } from "./peers.js";
import { feedAddress, get, readFragment, rememberPeer } from "./session.js";
import { apply, feed as feedState, health, me, monotonic, now, selected } from "./state.js";
import { plain } from "./format.js";

selected.value = readFragment();

const feed = new Feed({
  address: feedAddress,
  take: apply,
  report: (state) => { feedState.value = state; },
  refused: () => get("self").then(() => false, (error) => error.status === 401 || error.status === 403),
});

function App() {
  return html`
    <${Overview} />
    <${Stale} retry=${() => feed.retry()} />
    <main class=${selected.value === null ? "" : "with-drawer"}>
      <div class="stage"><${Topology} /><${Welcome} connect=${() => feed.connect()} /></div>
      <div class="side"><${Peers} /><${Drawer} /></div>
    </main>`;
}

setInterval(() => { now.value = monotonic(); }, 1000);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected.value !== null) selected.value = null;
});
window.addEventListener("hashchange", () => {
  const peer = readFragment();
  if (peer) selected.value = peer;
});

effect(() => rememberPeer(selected.value));
effect(() => {
  // The tab's title tells an operator with many tabs which one to look at.
  const bad = (health.value?.unhealthy_peers ?? 0) + (health.value?.down_peers ?? 0);
  const network = plain(me.value?.network, 40);
  document.title = `${bad > 0 ? `(${bad}) ` : ""}${network ? `${network} · ` : ""}peerscope`;
});

render(html`<${App} />`, document.getElementById("app"));
feed.connect();
