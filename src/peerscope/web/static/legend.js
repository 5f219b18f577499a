// The legend of the map, and the tooltip at the pointer.

import { html, useLayoutEffect, useRef } from "./vendor/preact.js";
import { BAND_LABELS, Glyph } from "./statuses.js";
import { ageOf, hovered, isGone, nodes, now, peers, perStatus, selected, shape, wall } from "./state.js";
import { age, counted, latency, plain } from "./format.js";
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
      ${shape.value.hollow.length > 0 && html`<li><${Glyph} status="hollow" />unmonitored</li>`}
      ${shape.value.articulation_peers.length > 0 && html`<li title="The mesh splits without it">
        <svg class="glyph" viewBox="-1.2 -1.2 2.4 2.4" aria-hidden="true"><path class="cut-ticks"
          d="M.5.5L1.1 1.1M-.5.5L-1.1 1.1M.5-.5L1.1-1.1M-.5-.5L-1.1-1.1" /></svg>cut point</li>`}
      ${shape.value.partitions.length > 0 && html`<li><svg class="glyph" viewBox="-1.2 -1.2 2.4 2.4" aria-hidden="true">
        <path class="hatch" d="M-1 0L0-1M-1 1L1-1M0 1L1 0" /></svg>partitioned</li>`}
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
  // The drawer shows more about the selected peer; a tooltip would hide its neighbours.
  const id = hovered.value === selected.value ? null : hovered.value;
  const node = id === null ? null : peers.value.get(id) ?? nodes.value.get(id) ?? null;
  useLayoutEffect(() => {
    const place = node && where(node.ref);
    if (!place) return;
    const { offsetWidth, offsetHeight, offsetParent } = box.current;
    const left = Math.min(Math.max(8, place.x + 16), offsetParent.clientWidth - offsetWidth - 8);
    const above = place.y - offsetHeight - 14;
    box.current.style.left = `${left}px`;
    box.current.style.top = `${above < 8 ? place.y + 18 : above}px`;
  });
  if (!node) return null;
  void now.value; // ages
  if (!node.monitored) return html`<div class="tooltip" ref=${box} role="tooltip">
    <strong><${Glyph} status="hollow" /> <code>${node.shown}</code></strong>
    <span>${node.claimants > 1 ? `${node.claimants} peers name this node of layer ${plain(node.layer, 24)} as theirs`
      : `not monitored, but a neighbour on layer ${plain(node.layer, 24)}`}</span></div>`;
  return html`<div class="tooltip" ref=${box} role="tooltip">
    <strong><${Glyph} status=${node.status} /> <code>${node.shown}</code></strong>
    <span>${node.place || "no region"} · ${node.status === node.verdict ? "" : `${node.status} · `}${verdictWords(node)}</span>
    <span>${isGone(node) ? `${node.verdict} since ${age(wall() - node.gone_since)}` : `RTT ${latency(node.rtt_s)} · ${counted(node.links ?? 0, "link")}`} · heard ${
      node.heard_at === undefined ? "never" : `${age(ageOf(node))} ago`}</span>
  </div>`;
}
