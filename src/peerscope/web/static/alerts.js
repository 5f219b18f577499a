// The place of alerts, incidents and threats.

import { html } from "./vendor/preact.js";
import { Panel } from "./tabs.js";
import { perStatus, selected, statusFilter } from "./state.js";

export function Alerts() {
  const bad = (perStatus.value.down ?? 0) + (perStatus.value.unhealthy ?? 0);
  const show = () => {
    selected.value = null;
    statusFilter.value = new Set(["down", "unhealthy"]);
  };
  return html`<${Panel} name="alerts" title="Alerts" note="What needs somebody, with its root cause.">
    <div class="empty"><h3>This agent raises no alerts yet</h3>
      <p>Verdicts and statuses of every peer are live all the same${bad > 0
        ? html`: <button class="link" onClick=${show}>${bad} ${bad === 1 ? "peer needs" : "peers need"} attention</button>.`
        : ", and none is down or unhealthy."}</p></div>
  <//>`;
}
