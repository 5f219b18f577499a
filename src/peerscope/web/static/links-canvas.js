// The lower canvas of the map: halos of regions, and links on them.

import { haloPadding, palette, resize, trace } from "./drawing.js";
import { hull } from "./regions.js";

// Dashes cost many times a plain hairline; with more unknown links than this they are only grey.
const DASHED_LINKS_MAX = 400;
const CULL_PX = 60;
/** Of BANDS: what is slow should be seen first. */
const BAND_STRENGTH = [0.7, 0.85, 1, 1.25];

export class LinksCanvas {
  /** [link, color] as the last paint put them on the screen, for tests: never what it meant to. */
  drawn = [];

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.readColors();
  }

  readColors() {
    this.color = palette(this.canvas);
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.ratio = resize(this.canvas, width, height);
  }

  paint(scene, view) {
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.fillStyle = this.color.map;
    context.fillRect(0, 0, this.width, this.height);
    for (const region of scene.regions) this.#halo(region, scene.xy, view);
    this.#links(scene, view);
  }

  #halo({ places }, xy, view) {
    const { context } = this;
    const padding = haloPadding(view);
    const corners = hull(places.map((i) => ({ x: view.toScreenX(xy[2 * i]), y: view.toScreenY(xy[2 * i + 1]) })));
    context.beginPath();
    context.moveTo(corners[0].x, corners[0].y);
    for (const { x, y } of corners.slice(1)) context.lineTo(x, y);
    context.closePath();
    context.lineJoin = context.lineCap = "round";
    // A thick round outline of the hull's own colour pads it; a slightly thicker one below is its edge.
    context.strokeStyle = this.color["halo-line"];
    context.lineWidth = 2 * padding + 2;
    context.stroke();
    context.strokeStyle = context.fillStyle = this.color.halo;
    context.lineWidth = 2 * padding;
    context.stroke();
    context.fill();
  }

  #links({ edges, xy }, view) {
    const { context } = this;
    const { size, from, to, links, groups } = edges;
    // The more links, the fainter each; those between regions most of all, as they fill the middle.
    const strength = Math.min(0.8, 3.4 / Math.max(1, size) ** 0.3);
    const strengthAcross = strength * 0.85 * Math.min(1, (60 / Math.max(1, size)) ** 0.15);
    const middle = [view.x, view.y];
    context.lineWidth = size > 300 ? 1 / this.ratio : 1.4;
    context.lineCap = "butt";
    this.drawn = [];
    for (const { band, crossing, estimated, members } of groups) {
      const color = this.color.links[band];
      context.beginPath();
      for (const i of members) {
        const x0 = view.toScreenX(xy[2 * from[i]]);
        const y0 = view.toScreenY(xy[2 * from[i] + 1]);
        const x1 = view.toScreenX(xy[2 * to[i]]);
        const y1 = view.toScreenY(xy[2 * to[i] + 1]);
        if (this.#isOutside(x0, y0, x1, y1)) continue;
        trace(context, x0, y0, x1, y1, crossing ? middle : null);
        this.drawn.push([links[i], color]);
      }
      context.setLineDash(band === 0 && members.length <= DASHED_LINKS_MAX ? [3, 4] : []);
      context.strokeStyle = color;
      context.globalAlpha = Math.min(0.9, (crossing ? strengthAcross : strength) * BAND_STRENGTH[band] * (estimated ? 0.55 : 1));
      context.stroke();
    }
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** True only if no part can be seen; the margin allows for the bend of a link. */
  #isOutside(x0, y0, x1, y1) {
    return (x0 < -CULL_PX && x1 < -CULL_PX) || (y0 < -CULL_PX && y1 < -CULL_PX)
      || (x0 > this.width + CULL_PX && x1 > this.width + CULL_PX)
      || (y0 > this.height + CULL_PX && y1 > this.height + CULL_PX);
  }
}
