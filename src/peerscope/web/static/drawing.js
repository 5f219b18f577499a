// Shared by both canvases of the map: colours, sizes and the curve of a link.
//
// They must be fast without a GPU. Links of one colour are one path of hairlines, for which
// rasterisers have a fast path. Peers are bitmaps, prepared once per shape and size. Pointing at a
// peer redraws the upper canvas only.

import { SPACING } from "./regions.js";
import { BANDS, STATUSES } from "./statuses.js";

// How far links between regions bend towards the middle, apart from links inside a region.
const BEND = 0.28;

/** Colours of the style sheet, to be read again when the scheme changes. */
export function palette(element) {
  const style = getComputedStyle(element);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = [...STATUSES, "map", "halo", "halo-line", "text", "muted", "accent", "suspect", "cut"];
  return {
    ...Object.fromEntries(names.map((name) => [name, read(name)])),
    links: BANDS.map((name) => read(`link-${name}`)),
    font: style.fontFamily,
  };
}

/** Give a canvas its size in CSS pixels on a screen of any density; returns that density. */
export function resize(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  return ratio;
}

/** Radius of a peer's glyph, by the space between peers at this zoom. */
export function glyphRadius(view) {
  return Math.min(9, Math.max(2.6, SPACING * view.k * 0.32));
}

/** Distance from a region's outermost peers to the edge of its halo. */
export function haloPadding(view) {
  return glyphRadius(view) + Math.min(26, 6 + SPACING * view.k * 0.35);
}

/** Add a link to the current path: straight within a region, bent towards `centre` between two. */
export function trace(context, x0, y0, x1, y1, centre) {
  context.moveTo(x0, y0);
  if (!centre) return context.lineTo(x1, y1);
  const x = (x0 + x1) / 2;
  const y = (y0 + y1) / 2;
  context.quadraticCurveTo(x + (centre[0] - x) * BEND, y + (centre[1] - y) * BEND, x1, y1);
}
