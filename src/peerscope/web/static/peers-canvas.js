// The upper canvas of the map: peers with their rings and names, and the links in focus.

import { counted, plain } from "./format.js";
import { glyphRadius, haloPadding, palette, resize, trace } from "./drawing.js";
import { SPACING } from "./regions.js";
import { GLYPHS } from "./statuses.js";

/** Space between peers, in pixels, from which their names fit. */
const NAMES_PX_MIN = 46;
/** Drawing order: problems last, on top of healthy peers. */
const ORDER = ["hollow", "left", "unknown", "healthy", "degraded", "unhealthy", "down"];
/** With more nodes than this, they are plain squares while the map moves. */
const SPRITES_MOVING_MAX = 2500;

export class PeersCanvas {
  #sprites = new Map();
  #drawn = [];

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.readColors();
  }

  readColors() {
    this.color = palette(this.canvas);
    this.#sprites.clear();
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.ratio = resize(this.canvas, width, height);
    this.#sprites.clear();
  }

  paint(scene, view, { moving }) {
    const { context } = this;
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    if (scene.focus) this.#focus(scene, view);
    const radius = glyphRadius(view);
    const rough = moving && scene.drawnCount > SPRITES_MOVING_MAX;
    this.#drawn = [];
    for (const status of ORDER) {
      if (rough) this.#squares(scene, view, status, radius);
      else this.#glyphs(scene, view, status, radius);
    }
    context.globalAlpha = 1;
    if (!rough) {
      this.#cutPoints(scene, view, radius);
      this.#rings(scene, view, radius);
    }
    for (const region of scene.regions) {
      if (region.closed) this.#bubbleName(region, view);
      else this.#regionName(region, scene.terse, view);
    }
  }

  /** Nodes as actually drawn, for tests. */
  drawn() {
    return this.#drawn.map(([node, x, y, status]) => (
      { id: node.peer_id ?? node.ref, x, y, status, color: this.color[status === "hollow" ? "unknown" : status] }));
  }

  #glyphs(scene, view, status, radius) {
    const { context } = this;
    const named = SPACING * view.k >= NAMES_PX_MIN;
    const sprite = this.#sprite(status, radius);
    for (const place of scene.places[status]) {
      const node = scene.at[place];
      const x = this.#snap(view.toScreenX(scene.xy[2 * place]));
      const y = this.#snap(view.toScreenY(scene.xy[2 * place + 1]));
      if (this.#isOutside(x, y)) continue;
      context.globalAlpha = scene.isFaint(node) ? 0.2 : 1;
      context.drawImage(sprite.bitmap, x - sprite.reach, y - sprite.reach, sprite.reach * 2, sprite.reach * 2);
      if (named) this.#peerName(node, x, y + radius + 5);
      this.#drawn.push([node, x, y, status]);
    }
  }

  #squares(scene, view, status, radius) {
    const { context } = this;
    const side = radius * 1.7;
    context.fillStyle = this.color[status === "hollow" ? "unknown" : status];
    for (const place of scene.places[status]) {
      const x = view.toScreenX(scene.xy[2 * place]);
      const y = view.toScreenY(scene.xy[2 * place + 1]);
      if (this.#isOutside(x, y)) continue;
      context.fillRect(x - side / 2, y - side / 2, side, side);
      this.#drawn.push([scene.at[place], x, y, status]);
    }
  }

  #isOutside(x, y) {
    return x < -20 || y < -20 || x > this.width + 20 || y > this.height + 20;
  }

  /** Round to device pixels, where bitmaps stay sharp. */
  #snap(value) {
    return Math.round(value * this.ratio) / this.ratio;
  }

  /** Four ticks around each cut point. */
  #cutPoints({ cutPoints, xy }, view, radius) {
    const { context } = this;
    context.beginPath();
    for (const place of cutPoints) {
      const x = view.toScreenX(xy[2 * place]);
      const y = view.toScreenY(xy[2 * place + 1]);
      const [near, far] = [radius + 3, radius + 7.5];
      for (const [dx, dy] of [[1, 1], [1, -1], [-1, 1], [-1, -1]]) {
        context.moveTo(x + dx * near * 0.71, y + dy * near * 0.71);
        context.lineTo(x + dx * far * 0.71, y + dy * far * 0.71);
      }
    }
    context.strokeStyle = this.color.cut;
    context.lineWidth = 2;
    context.stroke();
  }

  #rings(scene, view, radius) {
    for (const [node, x, y] of this.#drawn) {
      const isMarked = scene.isMarked(node);
      if (!isMarked && node.verdict !== "suspect" && node.verdict !== "partitioned") continue;
      this.context.globalAlpha = scene.isFaint(node) ? 0.3 : 1;
      if (node.ref === scene.me) this.#ring(x, y, radius + 3.5, this.color.accent, 1.8, []);
      if (node.verdict === "suspect") this.#ring(x, y, radius + 5, this.color.suspect, 1.8, [3.4, 2.6]);
      if (node.verdict === "partitioned") this.#ring(x, y, radius + 5, this.color.down, 1.8, [1.2, 2.4]);
      if (node.ref === scene.selected) this.#ring(x, y, radius + 8, this.color.text, 2, []);
      else if (node.ref === scene.hovered) this.#ring(x, y, radius + 6.5, this.color.text, 1.4, []);
    }
    this.context.globalAlpha = 1;
  }

  #ring(x, y, radius, color, width, dash) {
    const { context } = this;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.setLineDash(dash);
    context.strokeStyle = color;
    context.lineWidth = width;
    context.stroke();
    context.setLineDash([]);
  }

  #focus({ edges, xy, focus }, view) {
    const { context } = this;
    const place = (i) => [view.toScreenX(xy[2 * i]), view.toScreenY(xy[2 * i + 1])];
    context.lineWidth = 2;
    for (const i of focus.edges) {
      context.beginPath();
      trace(context, ...place(edges.from[i]), ...place(edges.to[i]), edges.crossing[i] ? [view.x, view.y] : null);
      context.setLineDash(edges.bands[i] === 0 ? [4, 4] : []);
      context.strokeStyle = this.color.links[edges.bands[i]];
      context.stroke();
    }
    context.setLineDash([]);
  }

  /** Two lines on the outer side of the region. */
  #regionName({ name, box, side, counts, total }, terse, view) {
    const { context } = this;
    const padding = haloPadding(view) + 7;
    const title = plain(name, terse ? 12 : 26) || "no region";
    const detail = terse ? "" : `${counts.healthy ?? 0}/${total} healthy`;
    const titleFont = `600 13px ${this.color.font}`;
    const detailFont = `12px ${this.color.font}`;
    context.font = titleFont;
    let width = context.measureText(title).width;
    context.font = detailFont;
    width = Math.max(width, context.measureText(detail).width);
    const left = view.toScreenX(box.left) - padding;
    const right = view.toScreenX(box.right) + padding;
    const middle = (view.toScreenY(box.top) + view.toScreenY(box.bottom)) / 2;
    let x = (left + right) / 2;
    const y = { above: view.toScreenY(box.top) - padding - (terse ? 0 : 19), below: view.toScreenY(box.bottom) + padding + 9 }[side] ?? middle + (terse ? 5 : -3);
    context.textAlign = { left: "right", right: "left" }[side] ?? "center";
    if (side === "left") x = Math.max(left, width + 4);
    else if (side === "right") x = Math.min(right, this.width - width - 4);
    else if (x > 0 && x < this.width) x = Math.min(Math.max(x, width / 2 + 4), this.width - width / 2 - 4);
    context.textBaseline = "alphabetic";
    context.font = titleFont;
    this.#text(title, x, y, this.color.text);
    if (terse) return;
    context.font = detailFont;
    this.#text(detail, x, y + 16, this.color.muted);
  }

  /** The name and size of a closed region inside its disc, or above a small one. */
  #bubbleName({ name, disc, total }, view) {
    const { context } = this;
    const [x, y, radius] = [view.toScreenX(disc.x), view.toScreenY(disc.y), disc.radius * view.k];
    const fits = radius > 30;
    context.textAlign = "center";
    context.textBaseline = "alphabetic";
    context.font = `600 ${fits ? 13 : 11}px ${this.color.font}`;
    this.#text(plain(name, Math.max(8, Math.floor(radius / 4))) || "no region", x, fits ? y - 2 : y - radius - 6, this.color.text);
    if (!fits) return;
    context.font = `12px ${this.color.font}`;
    this.#text(counted(total, "peer"), x, y + 14, this.color.muted);
  }

  #peerName(peer, x, y) {
    const { context } = this;
    context.font = `10.5px ${this.color.font}`;
    context.textAlign = "center";
    context.textBaseline = "top";
    this.#text(peer.shown.slice(0, 6), x, y, this.color.muted);
  }

  /** Text with an outline of the background's colour, readable on top of links. */
  #text(text, x, y, color) {
    const { context } = this;
    context.lineJoin = "round";
    context.strokeStyle = this.color.map;
    context.lineWidth = 3.5;
    context.strokeText(text, x, y);
    context.fillStyle = color;
    context.fillText(text, x, y);
  }

  #sprite(status, radius) {
    const size = Math.round(radius * this.ratio * 2) / 2; // in steps, so that zooming reuses them
    const key = `${status} ${size}`;
    let sprite = this.#sprites.get(key);
    if (sprite) return sprite;
    if (this.#sprites.size > 200) this.#sprites.clear();
    const half = Math.ceil(size * 1.3 + 2);
    const bitmap = document.createElement("canvas");
    bitmap.width = bitmap.height = half * 2;
    glyph(bitmap.getContext("2d"), status, half, size, this.color[status === "hollow" ? "unknown" : status], this.color.map);
    sprite = { bitmap, reach: half / this.ratio };
    this.#sprites.set(key, sprite);
    return sprite;
  }
}

function glyph(context, status, half, size, color, background) {
  const { path, filled, width, dash } = GLYPHS[status];
  const shape = new Path2D(path);
  context.translate(half, half);
  context.scale(size, size);
  context.lineJoin = context.lineCap = "round";
  // An edge of the background's colour lifts the peer off the links that end at it.
  context.strokeStyle = background;
  context.lineWidth = (width ?? 0) + 0.55;
  context.stroke(shape);
  if (status === "unknown" || status === "hollow") {
    context.fillStyle = background;
    context.fill(shape);
  }
  context.strokeStyle = context.fillStyle = color;
  context.lineWidth = width ?? 0.1;
  if (dash) context.setLineDash(dash);
  if (filled) context.fill(shape);
  else context.stroke(shape);
}
