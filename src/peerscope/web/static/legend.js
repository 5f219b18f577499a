// What lies on top of the map: the key to its shapes and colours, and the words beside the pointer.

import { html, useLayoutEffect, useRef } from "./vendor/preact.js";
import { BAND_LABELS, Glyph } from "./statuses.js";
import { hovered, now, peers, perStatus, selected } from "./state.js";
import { age, latency } from "./format.js";
import { verdictWords } from "./verdict.js";

export function Legend() {
  const rare = perStatus.value.left > 0 ? ["left"] : [];
  return html`<details class="legend" open=${window.innerWidth > 860}>
    <summary>Legend</summary><div>
    <ul aria-label="Peers">
      ${["healthy", "degraded", "unhealthy", "unknown", "down", ...rare].map((status) => html`
        <li key=${status}><${Glyph} status=${status} />${status}</li>`)}
      <li><svg class="glyph" viewBox="-1.2 -1.2 2.4 2.4" aria-hidden="true">
        <circle r="1" class="suspect-ring" /></svg>suspect</li>
      <li><svg class="glyph" viewBox="-1.2 -1.2 2.4 2.4" aria-hidden="true">
        <circle r="1" class="own-ring" /></svg>this peer</li>
    </ul>
    <ul aria-label="Links by round trip">
      ${["fast", "medium", "slow", "unknown"].map((band) => html`
        <li key=${band}><svg class="stroke link-${band}" viewBox="0 0 20 4" aria-hidden="true">
          <line x1="0" y1="2" x2="20" y2="2" /></svg>${BAND_LABELS[band]}</li>`)}
    </ul></div>
  </details>`;
}

export function Tooltip({ where }) {
  const box = useRef();
  // The drawer says all this and more of the selected one; a box over its neighbours would be in the way.
  const peer = hovered.value === null || hovered.value === selected.value ? null : peers.value.get(hovered.value);
  useLayoutEffect(() => {
    const place = peer && where(peer.peer_id);
    if (!place) return;
    const { offsetWidth, offsetHeight, offsetParent } = box.current;
    const left = Math.min(Math.max(8, place.x + 16), offsetParent.clientWidth - offsetWidth - 8);
    const above = place.y - offsetHeight - 14;
    box.current.style.left = `${left}px`;
    box.current.style.top = `${above < 8 ? place.y + 18 : above}px`;
  });
  if (!peer) return null;
  return html`<div class="tooltip" ref=${box} role="tooltip">
    <strong><${Glyph} status=${peer.status} /> <code>${peer.shown}</code></strong>
    <span>${peer.place || "no region"} · ${peer.status === peer.verdict ? "" : `${peer.status} · `}${verdictWords(peer)}</span>
    <span>RTT ${latency(peer.rtt_s)} · ${(peer.links ?? []).length} links · heard ${
      peer.heardAt === null ? "never" : `${age(now.value - peer.heardAt)} ago`}</span>
  </div>`;
}
