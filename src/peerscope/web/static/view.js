// The window onto the map: which part of the world is on the screen, and the gestures that move it.

const ZOOM_MIN = 0.05;
const ZOOM_MAX = 12;
const CLICK_PX_MAX = 5;
const GLIDE_MS = 260;

export class View {
  /** Screen = world * k + (x, y), in CSS pixels of the canvas. */
  k = 1;
  x = 0;
  y = 0;
  /** Until the user pans or zooms, the view follows the layout so that everything stays visible. */
  following = true;

  #target = null;

  toScreenX(worldX) { return worldX * this.k + this.x; }
  toScreenY(worldY) { return worldY * this.k + this.y; }
  toWorldX(screenX) { return (screenX - this.x) / this.k; }
  toWorldY(screenY) { return (screenY - this.y) / this.k; }

  panBy(dx, dy) {
    this.#take();
    this.x += dx;
    this.y += dy;
  }

  /** Zoom by `factor` with the world under (screenX, screenY) staying where it is. */
  zoomAt(screenX, screenY, factor) {
    this.#take();
    const k = Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, this.k * factor));
    this.x = screenX - ((screenX - this.x) * k) / this.k;
    this.y = screenY - ((screenY - this.y) * k) / this.k;
    this.k = k;
  }

  /** Put the middle of `box` (world) at zoom `k` into the middle of a canvas of this size less `margin`. */
  show(box, { k, width, height, margin, glide }) {
    const to = {
      k,
      x: (margin.left + width - margin.right) / 2 - ((box.left + box.right) / 2) * k,
      y: (margin.top + height - margin.bottom) / 2 - ((box.top + box.bottom) / 2) * k,
    };
    this.following = true;
    if (!glide) {
      this.#target = null;
      Object.assign(this, to);
    } else {
      this.#target = { to, from: { k: this.k, x: this.x, y: this.y }, begun: performance.now() };
    }
  }

  /** Advance a glide; true while there is more to come. */
  step(time) {
    if (!this.#target) return false;
    const { from, to, begun } = this.#target;
    const share = Math.min(1, Math.max(0, (time - begun) / GLIDE_MS));
    const eased = 1 - (1 - share) ** 3;
    for (const key of ["k", "x", "y"]) this[key] = from[key] + (to[key] - from[key]) * eased;
    if (share === 1) this.#target = null;
    return share < 1;
  }

  #take() {
    this.following = false;
    this.#target = null;
  }
}

/** The zoom at which `box` (world) fills a canvas of this size less `margin`, at most `kMax`. */
export function fitting(box, width, height, margin, kMax) {
  const roomX = Math.max(40, width - margin.left - margin.right);
  const roomY = Math.max(40, height - margin.top - margin.bottom);
  return Math.min(roomX / Math.max(1, box.right - box.left), roomY / Math.max(1, box.bottom - box.top), kMax);
}

/**
 * Turn pointer, wheel and key events of `canvas` into view changes.
 * Calls `changed()` after each, `point(x, y)` when a mouse hovers (null, null when it leaves),
 * `click(x, y)` and `fit()`.
 */
export function gestures(canvas, view, { changed, point, click, fit }) {
  const pointers = new Map();
  let travelled = 0;

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    if (pointers.size === 1) travelled = 0;
  });

  canvas.addEventListener("pointermove", (event) => {
    const to = place(event);
    const from = pointers.get(event.pointerId);
    if (!from) return point(to.x, to.y);
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    travelled += Math.hypot(to.x - from.x, to.y - from.y);
    if (travelled > CLICK_PX_MAX) {
      point(null, null);
      if (other) pinch(from, to, other);
      else view.panBy(to.x - from.x, to.y - from.y);
      canvas.classList.add("dragging");
      changed();
    }
    pointers.set(event.pointerId, to);
  });

  function pinch(from, to, other) {
    const before = Math.hypot(from.x - other.x, from.y - other.y) || 1;
    const after = Math.hypot(to.x - other.x, to.y - other.y);
    view.panBy((to.x - from.x) / 2, (to.y - from.y) / 2);
    view.zoomAt((to.x + other.x) / 2, (to.y + other.y) / 2, after / before);
  }

  for (const kind of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(kind, (event) => {
      if (!pointers.delete(event.pointerId)) return;
      canvas.classList.remove("dragging");
      const { x, y } = place(event);
      if (kind === "pointerup" && travelled <= CLICK_PX_MAX && pointers.size === 0) click(x, y);
    });
  }
  canvas.addEventListener("pointerleave", () => point(null, null));

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = place(event);
    const pixels = event.deltaMode === 1 ? event.deltaY * 16 : event.deltaY; // Firefox counts lines
    view.zoomAt(x, y, Math.exp(-Math.max(-240, Math.min(240, pixels)) * 0.0018));
    changed();
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const step = 60;
    const centre = [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const actions = {
      ArrowLeft: () => view.panBy(step, 0),
      ArrowRight: () => view.panBy(-step, 0),
      ArrowUp: () => view.panBy(0, step),
      ArrowDown: () => view.panBy(0, -step),
      "+": () => view.zoomAt(...centre, 1.3),
      "=": () => view.zoomAt(...centre, 1.3),
      "-": () => view.zoomAt(...centre, 1 / 1.3),
      0: fit,
    };
    if (!actions[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    actions[event.key]();
    changed();
  });

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }
}
