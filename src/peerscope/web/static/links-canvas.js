// The lower canvas of the map: regions, partitions, and the links on them.
//
// Thousands of hairlines take tens of milliseconds. They are drawn into a bitmap larger than the window, which a pan or
// zoom moves and scales. When the view rests, the bitmap is drawn again, sharp.

import { haloPadding, palette, resize, trace } from "./drawing.js";
import { STATUSES } from "./statuses.js";

// Dashes are far more expensive than plain lines; more unknown links than this are plain grey.
const DASHED_LINKS_MAX = 400;
const CULL_PX = 60;
/** Opacity by BANDS: slow links are the most visible. */
const BAND_STRENGTH = [0.7, 0.85, 1, 1.25];
/** How far the bitmap reaches beyond the window, as a share of its size on each side. */
const BEYOND = 0.2;
/** Largest scaling of the bitmap while moving, before it is drawn again. */
const STRETCH_MAX = 2.2;
/** Links drawn while the map moves; of more, a sample. */
const MOVING_LINKS_MAX = 2500;

export class LinksCanvas {
  #drawnEdges = null;
  #drawnPlaces = [];
  #sampled = false;

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.bitmap = document.createElement("canvas");
    this.sheet = this.bitmap.getContext("2d", { alpha: false });
    this.readColors();
  }

  readColors() {
    this.color = palette(this.canvas);
    this.shown = this.hatching = null;
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.ratio = resize(this.canvas, width, height);
    this.beyond = { x: Math.round(width * BEYOND), y: Math.round(height * BEYOND) };
    resize(this.bitmap, width + 2 * this.beyond.x, height + 2 * this.beyond.y);
    this.shown = null;
  }

  /** Show `scene` at `view`. While `moving`, an older bitmap of the same scene is enough. */
  paint(scene, view, { moving }) {
    if (!(moving && this.#fits(scene, view)) && !this.#isSharp(scene, view)) this.#draw(scene, view, moving);
    const { k, x, y } = this.shown.view;
    const scale = view.k / k;
    const left = (-this.beyond.x - x) * scale + view.x;
    const top = (-this.beyond.y - y) * scale + view.y;
    const { context, ratio } = this;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (scale < 1) this.#clear(context);
    context.imageSmoothingQuality = "low";
    context.imageSmoothingEnabled = scale !== 1;
    const snap = (value) => Math.round(value * ratio) / ratio;
    const [wide, high] = [this.width + 2 * this.beyond.x, this.height + 2 * this.beyond.y];
    context.drawImage(this.bitmap, snap(left), snap(top), wide * scale, high * scale);
  }

  /** True if the last paint left links out or is stretched, so that another would be better. */
  isRough(view) {
    return this.#sampled || this.shown === null || this.shown.view.k !== view.k;
  }

  /** [link, color] as actually drawn, for tests. */
  drawn() {
    const edges = this.#drawnEdges;
    return this.#drawnPlaces.map((i) => [edges.links[i], this.color.links[edges.bands[i]]]);
  }

  #isSharp(scene, view) {
    return !this.#sampled && this.shown?.scene === scene && this.shown.view.k === view.k && this.#covers(view);
  }

  #fits(scene, view) {
    if (this.shown?.scene !== scene) return false;
    const scale = view.k / this.shown.view.k;
    return scale < STRETCH_MAX && scale > 1 / STRETCH_MAX && (scale < 1 || this.#covers(view));
  }

  #covers(view) {
    const { k, x, y } = this.shown.view;
    const scale = view.k / k;
    const left = (-this.beyond.x - x) * scale + view.x;
    const top = (-this.beyond.y - y) * scale + view.y;
    return left <= 0 && top <= 0 && left + (this.width + 2 * this.beyond.x) * scale >= this.width
      && top + (this.height + 2 * this.beyond.y) * scale >= this.height;
  }

  #clear(context) {
    context.fillStyle = this.color.map;
    context.fillRect(0, 0, this.width, this.height);
  }

  #draw(scene, view, moving) {
    const { sheet, ratio, beyond } = this;
    this.shown = { scene, view: { k: view.k, x: view.x, y: view.y } };
    sheet.setTransform(ratio, 0, 0, ratio, 0, 0);
    sheet.fillStyle = this.color.map;
    sheet.fillRect(0, 0, this.width + 2 * beyond.x, this.height + 2 * beyond.y);
    sheet.translate(beyond.x, beyond.y);
    for (const region of scene.regions) if (!region.closed) this.#halo(region.corners, view, "halo", "halo-line");
    for (const { patches } of scene.partitions) for (const corners of patches) this.#patch(corners, view);
    this.#bundles(scene.bundles, view);
    this.#links(scene, view, moving ? MOVING_LINKS_MAX : Infinity);
    for (const region of scene.regions) if (region.closed) this.#bubble(region, view);
  }

  /** The padded outline of a hull: a thick round line of its own colour, and a slightly thicker one below as its edge. */
  #halo(corners, view, fill, edge) {
    const { sheet } = this;
    const padding = haloPadding(view);
    this.#trace(corners, view);
    sheet.lineJoin = sheet.lineCap = "round";
    sheet.strokeStyle = this.color[edge];
    sheet.lineWidth = 2 * padding + 2;
    sheet.stroke();
    sheet.strokeStyle = sheet.fillStyle = this.color[fill];
    sheet.lineWidth = 2 * padding;
    sheet.stroke();
    sheet.fill();
  }

  #trace(corners, view) {
    const { sheet } = this;
    sheet.beginPath();
    sheet.moveTo(view.toScreenX(corners[0].x), view.toScreenY(corners[0].y));
    for (const { x, y } of corners.slice(1)) sheet.lineTo(view.toScreenX(x), view.toScreenY(y));
    if (corners.length > 1) sheet.closePath();
    else sheet.lineTo(view.toScreenX(corners[0].x) + 0.01, view.toScreenY(corners[0].y)); // a line of no length has no ends to round
  }

  /** Shade and hatch a partition. */
  #patch(corners, view) {
    const { sheet } = this;
    this.hatching ??= hatching(this.color.down);
    const padding = haloPadding(view) * 0.7;
    this.#trace(corners, view);
    sheet.lineJoin = sheet.lineCap = "round";
    sheet.globalAlpha = 0.55;
    sheet.strokeStyle = sheet.fillStyle = sheet.createPattern(this.hatching, "repeat");
    sheet.lineWidth = 2 * padding;
    sheet.stroke();
    if (corners.length > 2) sheet.fill();
    sheet.globalAlpha = 1;
  }

  #bundles(bundles, view) {
    const { sheet } = this;
    sheet.lineCap = "round";
    const most = bundles.at(-1)?.count ?? 1;
    for (const { from, to, count, band } of bundles) {
      sheet.beginPath();
      trace(sheet, view.toScreenX(from.x), view.toScreenY(from.y), view.toScreenX(to.x), view.toScreenY(to.y), [view.x, view.y]);
      sheet.strokeStyle = this.color.links[band];
      sheet.globalAlpha = 0.2 + 0.3 * (count / most);
      sheet.lineWidth = 0.8 + 5 * Math.sqrt(count / most);
      sheet.stroke();
    }
    sheet.globalAlpha = 1;
  }

  /** A closed region: a ring with the shares of its statuses. */
  #bubble({ disc, counts, total }, view) {
    const { sheet } = this;
    const [x, y, radius] = [view.toScreenX(disc.x), view.toScreenY(disc.y), Math.max(5, disc.radius * view.k)];
    sheet.beginPath();
    sheet.arc(x, y, radius, 0, 2 * Math.PI);
    sheet.fillStyle = this.color.halo;
    sheet.fill();
    const thickness = Math.min(14, Math.max(2.5, radius * 0.16));
    let angle = -Math.PI / 2;
    sheet.lineWidth = thickness;
    sheet.lineCap = "butt";
    for (const status of STATUSES) {
      const share = (counts[status] ?? 0) / total;
      if (share === 0) continue;
      sheet.beginPath();
      sheet.arc(x, y, radius - thickness / 2, angle, angle + share * 2 * Math.PI);
      sheet.strokeStyle = this.color[status];
      sheet.stroke();
      angle += share * 2 * Math.PI;
    }
  }

  #links({ edges, xy }, view, most) {
    const { sheet: context } = this;
    const { size, from, to, groups } = edges;
    const step = Math.max(1, Math.ceil(size / most));
    // The more links, the fainter each one, most of all between regions, as they fill the middle.
    const strength = Math.min(0.8, (3.4 / Math.max(1, size) ** 0.3) * Math.sqrt(step));
    const strengthAcross = strength * 0.85 * Math.min(1, (60 / Math.max(1, size)) ** 0.22);
    const middle = [view.x, view.y];
    context.lineWidth = size > 300 ? 1 / this.ratio : 1.4;
    context.lineCap = "butt";
    this.#drawnEdges = edges;
    this.#drawnPlaces = [];
    this.#sampled = step > 1;
    for (const { band, crossing, estimated, members } of groups) {
      context.beginPath();
      for (let at = 0; at < members.length; at += step) {
        const i = members[at];
        const x0 = view.toScreenX(xy[2 * from[i]]);
        const y0 = view.toScreenY(xy[2 * from[i] + 1]);
        const x1 = view.toScreenX(xy[2 * to[i]]);
        const y1 = view.toScreenY(xy[2 * to[i] + 1]);
        if (this.#isOutside(x0, y0, x1, y1)) continue;
        trace(context, x0, y0, x1, y1, crossing ? middle : null);
        this.#drawnPlaces.push(i);
      }
      context.setLineDash(band === 0 && members.length <= DASHED_LINKS_MAX ? [3, 4] : []);
      context.strokeStyle = this.color.links[band];
      context.globalAlpha = Math.min(0.9, (crossing ? strengthAcross : strength) * BAND_STRENGTH[band] * (estimated ? 0.55 : 1));
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** True only if no part is visible; the margin allows for the bend of a link. */
  #isOutside(x0, y0, x1, y1) {
    const { x, y } = this.beyond;
    return (x0 < -x - CULL_PX && x1 < -x - CULL_PX) || (y0 < -y - CULL_PX && y1 < -y - CULL_PX)
      || (x0 > this.width + x + CULL_PX && x1 > this.width + x + CULL_PX)
      || (y0 > this.height + y + CULL_PX && y1 > this.height + y + CULL_PX);
  }
}

/** A small square that repeats into diagonal lines. */
function hatching(color) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const context = tile.getContext("2d");
  context.strokeStyle = color;
  context.lineWidth = 1.6;
  context.beginPath();
  for (const shift of [-8, 0, 8]) {
    context.moveTo(shift, 8);
    context.lineTo(shift + 8, 0);
  }
  context.stroke();
  return tile;
}
