// The look of peers and links. Every status has a colour *and* a shape, every latency band a colour
// and a word, so that users need not see colours.
//
// Shapes are SVG paths in a box of radius 1 around the origin. The page draws them as SVG, the map
// through Path2D. Colours are in style.css only, as `--healthy` etc.

import { html } from "./vendor/preact.js";
import { isNumber } from "./format.js";

/** From best to worst, the order of legends and counts. */
export const STATUSES = ["healthy", "degraded", "unhealthy", "unknown", "down", "left"];

export const GLYPHS = {
  healthy: { path: "M.9 0A.9.9 0 1 1-.9 0A.9.9 0 1 1 .9 0Z", filled: true },
  degraded: { path: "M0-1.1L1.1.85H-1.1Z", filled: true },
  unhealthy: { path: "M-.85-.85H.85V.85H-.85Z", filled: true },
  unknown: { path: "M.75 0A.75.75 0 1 1-.75 0A.75.75 0 1 1 .75 0Z", filled: false, width: 0.4 },
  down: { path: "M-.8-.8L.8.8M.8-.8L-.8.8", filled: false, width: 0.55 },
  left: { path: "M-.7 0H.7", filled: false, width: 0.4 },
  /** Not a status: an unmonitored node. */
  hollow: { path: "M.8 0A.8.8 0 1 1-.8 0A.8.8 0 1 1 .8 0Z", filled: false, width: 0.28, dash: [0.5, 0.34] },
};

/** Sort order of statuses, the most urgent first. */
export const URGENCY = { down: 0, unhealthy: 1, degraded: 2, unknown: 3, healthy: 4, left: 5 };

export const BANDS = ["unknown", "fast", "medium", "slow"];
export const BAND_LABELS = { fast: "< 50 ms", medium: "< 200 ms", slow: "≥ 200 ms", unknown: "unknown" };

/** A status of a newer agent that this page does not know becomes `unknown`. */
export function knownStatus(status) {
  return STATUSES.includes(status) ? status : "unknown";
}

export function band(rttS) {
  if (!isNumber(rttS)) return "unknown";
  if (rttS < 0.05) return "fast";
  return rttS < 0.2 ? "medium" : "slow";
}

export function Glyph({ status, label }) {
  const { path, filled, width, dash } = GLYPHS[status];
  return html`<svg class="glyph ${status}" viewBox="-1.2 -1.2 2.4 2.4" role=${label ? "img" : null}
      aria-label=${label ?? null} aria-hidden=${label ? null : "true"}>
    <path d=${path} class=${filled ? "filled" : "stroked"} stroke-width=${width ?? 0} stroke-dasharray=${dash?.join(" ")} />
  </svg>`;
}
