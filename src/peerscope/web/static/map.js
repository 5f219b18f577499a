// The topology map: joins state, layout, view and canvases, and draws only after a change.

import { effect, html, untracked, useLayoutEffect, useRef } from "./vendor/preact.js";
import { quadtree } from "./vendor/force.js";
import { closeAll, closed, isLarge, open, openAll, opened } from "./bubbles.js";
import { Layout } from "./layout.js";
import { LinksCanvas } from "./links-canvas.js";
import { PeersCanvas } from "./peers-canvas.js";
import { glyphRadius, haloPadding } from "./drawing.js";
import { View, fitting, gestures } from "./view.js";
import { focusOf, sceneOf } from "./scene.js";
import { Legend, Tooltip } from "./legend.js";
import { TimeBar, openTime } from "./time-bar.js";
import {
  everyLink, everyNode, hovered, layer, layers, links, matching, me, nodes, panel, peers, recording, selected, shape,
} from "./state.js";
import { count } from "./format.js";

const PICK_PX = 14;
const NARROW_PX = 560;
/** Time from the last movement of the view to a sharp picture. */
const REST_MS = 140;

class TopologyMap {
  #frame = null;
  #stale = { scene: true, below: true };
  #tree = null;
  #framed = false;
  #moving = false;
  #resting = null;
  #frames = 0;
  #unsubscribe;

  constructor(frame, lower, upper) {
    this.frame = frame;
    this.lower = lower;
    this.upper = upper;
    this.links = new LinksCanvas(lower);
    this.peers = new PeersCanvas(upper);
    this.view = new View();
    this.quiet = matchMedia("(prefers-reduced-motion: reduce)");
    this.layout = new Layout(() => this.#moved());
    gestures(upper, this.view, {
      changed: () => this.#travel(),
      point: (x, y) => this.#point(x, y),
      click: (x, y) => this.#click(x, y),
      fit: () => this.fit(),
    });
    new ResizeObserver(() => this.#resized()).observe(frame);
    matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
      this.links.readColors();
      this.peers.readColors();
      this.#invalidate({ below: true });
    });
    this.#resized();
    this.#unsubscribe = [
      effect(() => {
        void [layer.value, shape.value];
        void [nodes.value, links.value];
        // In the past, peers keep their present places: the old links are drawn, but have no force.
        this.#changed(everyNode.value, everyLink.value, closed.value);
      }),
      effect(() => {
        void [selected.value, hovered.value, matching.value, me.value, panel.value];
        this.#invalidate(panel.value === "topology" ? { below: true } : {});
      }),
    ];
  }

  fit() {
    this.#fit(!this.quiet.matches);
  }

  zoom(factor) {
    this.view.zoomAt(this.peers.width / 2, this.peers.height / 2, factor);
    this.#travel();
  }

  drawn() {
    return this.peers.drawn();
  }

  drawnLinks() {
    return this.links.drawn().map(([link, color]) =>
      ({ source: link.source, target: link.target, layer: link.layer, rtt_s: link.rtt_s ?? null, color }));
  }

  /** Numbers of the last drawing, for tests and benchmarks. */
  report() {
    const scene = this.scene;
    return {
      frames: this.#frames,
      settled: this.layout.settled,
      nodes: scene.count,
      links: scene.edges.size,
      bubbles: scene.regions.filter((region) => region.closed).map(({ name, disc }) => (
        { name, x: this.view.toScreenX(disc.x), y: this.view.toScreenY(disc.y) })),
      cutPoints: scene.cutPoints.length,
      hollow: scene.places.hollow.length,
      partitions: scene.partitions.map(({ size }) => size),
    };
  }

  #changed(allNodes, allLinks, closedRegions) {
    const { width, height } = this.peers;
    // Without the space for names beside and above.
    const aspect = Math.max(40, width - (width < NARROW_PX ? 150 : 270)) / Math.max(40, height - 130);
    this.layout.update(allNodes, allLinks, {
      closed: closedRegions, aspect: Math.min(2, Math.max(0.6, aspect)), still: this.quiet.matches,
    });
    this.#invalidate({ scene: true, below: true });
  }

  #moved() {
    this.#stale.scene = true;
    if (this.view.following) this.#follow();
    this.#invalidate({ below: true });
  }

  /** Keep everything visible, but move only if the picture would fit much better. */
  #follow() {
    const before = { k: this.view.k, x: this.view.x, y: this.view.y };
    const { box } = this.#scene();
    this.#fit(false);
    if (!this.#framed || !box) {
      this.#framed = this.layout.settled;
      return;
    }
    const change = this.view.k / before.k;
    const inside = box.left * before.k + before.x > 20 && box.right * before.k + before.x < this.peers.width - 20
      && box.top * before.k + before.y > 40 && box.bottom * before.k + before.y < this.peers.height - 30;
    if (inside && change < 1.2) Object.assign(this.view, before);
  }

  #resized() {
    const { clientWidth, clientHeight } = this.frame;
    this.links.resize(clientWidth, clientHeight);
    this.peers.resize(clientWidth, clientHeight);
    this.#stale.scene = true; // a narrow screen has names elsewhere
    if (this.view.following) this.#fit(false);
    this.#invalidate({ below: true });
    // Resizing clears a canvas at once; painting in the same turn keeps it from flashing.
    this.#paint(performance.now());
  }

  #fit(glide) {
    const scene = this.#scene();
    const { box } = scene;
    if (!box) return;
    const { width, height } = this.peers;
    const kMax = 3.2; // a few peers must not fill the whole map
    // The size of halos depends on the zoom, and the zoom on halos: two passes are close enough.
    let k = 1;
    let margin;
    for (let pass = 0; pass < 2; pass += 1) {
      margin = roomForNames(scene, haloPadding({ k }));
      if (scene.count <= 1) margin.bottom = height * 0.6; // for the card of a lone peer
      k = fitting(box, width, height, margin, kMax);
    }
    this.view.show(box, { k, width, height, margin, glide });
    this.#invalidate({ below: true });
  }

  #point(x, y) {
    const node = x === null ? null : this.#pick(x, y);
    this.upper.classList.toggle("pointing", node !== null || (x !== null && this.#bubbleAt(x, y) !== null));
    const id = node?.peer_id ?? node?.ref ?? null;
    if (hovered.value !== id) hovered.value = id;
  }

  #click(x, y) {
    const node = this.#pick(x, y);
    const bubble = node === null ? this.#bubbleAt(x, y) : null;
    if (bubble) open(bubble.name);
    else if (node === null || node.monitored) selected.value = node?.peer_id ?? null;
  }

  /** The node at a place on the screen. */
  #pick(x, y) {
    const { places, at, xy } = this.#scene();
    this.#tree ??= quadtree(Object.values(places).flat(), (i) => xy[2 * i], (i) => xy[2 * i + 1]);
    const reach = Math.max(PICK_PX, glyphRadius(this.view) + 4) / this.view.k;
    const found = this.#tree.find(this.view.toWorldX(x), this.view.toWorldY(y), reach);
    return found === undefined ? null : at[found];
  }

  /** The closed region at a place on the screen. */
  #bubbleAt(x, y) {
    const [worldX, worldY] = [this.view.toWorldX(x), this.view.toWorldY(y)];
    return this.#scene().regions.find(({ closed: isClosed, disc }) => isClosed
      && Math.hypot(disc.x - worldX, disc.y - worldY) <= disc.radius) ?? null;
  }

  /** Where a node is on the screen, by its `ref`. */
  where(ref) {
    const { index, xy } = this.#scene();
    const place = index.get(ref);
    if (place === undefined) return null;
    return { x: this.view.toScreenX(xy[2 * place]), y: this.view.toScreenY(xy[2 * place + 1]) };
  }

  /** Show a moving view roughly at once, and sharp when it rests. */
  #travel() {
    this.#moving = true;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      this.#moving = false;
      if (this.links.isRough(this.view) || this.scene.drawnCount > 0) this.#invalidate({ below: true });
    }, REST_MS);
    this.#invalidate({ below: true });
  }

  #invalidate(what) {
    Object.assign(this.#stale, what);
    if (panel.peek() !== "topology") return; // drawn when the panel opens again
    this.#frame ??= requestAnimationFrame((time) => this.#paint(time));
  }

  #paint(time) {
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const gliding = this.view.step(time);
    const scene = this.#scene();
    const how = { moving: this.#moving || gliding || !this.layout.settled };
    if (this.#stale.below) this.links.paint(scene, this.view, how);
    this.peers.paint(scene, this.view, how);
    if (this.#frames === 0 && scene.ids.length > 0) performance.mark("map");
    if (scene.ids.length > 0) this.#frames += 1;
    this.#stale.below = gliding;
    if (gliding) this.#invalidate({ below: true });
  }

  #scene() {
    return untracked(() => {
      if (this.#stale.scene || !this.scene) {
        this.scene = sceneOf({
          layout: this.layout, nodes: nodes.value, links: links.value, shape: shape.value, layer: layer.value,
          closed: closed.value, narrow: this.peers.width < NARROW_PX,
        }, this.scene ?? null);
        this.#stale.scene = false;
        this.#tree = null;
      }
      const scene = this.scene;
      const wanted = matching.value;
      const refOf = (id) => (id === null ? null : peers.value.get(id)?.ref ?? id);
      scene.me = refOf(me.value?.peer_id ?? null);
      scene.selected = refOf(selected.value);
      scene.hovered = refOf(hovered.value);
      const focused = scene.selected ?? scene.hovered;
      scene.focus = focused === null ? null : focusOf(scene.edges, scene.ids, scene.index.get(focused));
      const near = scene.selected === null ? null : scene.focus?.near;
      scene.isFaint = (node) => (near ? !near.has(node.ref) : wanted !== null && !wanted.has(node.peer_id));
      scene.isMarked = ({ ref }) => ref === scene.me || ref === scene.selected || ref === scene.hovered;
      this.lower.classList.toggle("dimmed", Boolean(near) || wanted !== null);
      return scene;
    });
  }

  close() {
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }
}

/** Margins in pixels that keep halos of `padding` and the regions' names on the screen. */
function roomForNames({ regions, terse }, padding) {
  const taken = { left: 0, right: 0, above: 0, below: 0 };
  const sizes = terse ? { left: 66, right: 66, above: 26, below: 26 } : { left: 104, right: 104, above: 44, below: 34 };
  for (const { side } of regions) taken[side] = sizes[side];
  const edge = padding + 10;
  return { left: edge + taken.left, right: edge + taken.right, top: edge + taken.above, bottom: edge + taken.below };
}

/** Partitions and cut points in words. */
function Notes() {
  const { partitions, articulation_peers: cuts } = shape.value;
  const lost = partitions.map((group) => group.length);
  if (lost.length === 0 && cuts.length === 0) return null;
  return html`<ul class="map-notes" data-testid="map-notes">
    ${lost.map((size, i) => html`<li key=${i} class="lost">${count(size)} ${size === 1 ? "peer" : "peers"} lost together: a partition</li>`)}
    ${cuts.length > 0 && html`<li>${count(cuts.length)} cut ${cuts.length === 1 ? "point" : "points"}: the mesh splits if ${cuts.length === 1 ? "it" : "one"} fails</li>`}
  </ul>`;
}

export function Topology() {
  const frame = useRef();
  const lower = useRef();
  const upper = useRef();
  const map = useRef(null);
  useLayoutEffect(() => {
    map.current = new TopologyMap(frame.current, lower.current, upper.current);
    window.peerscope = {
      ...window.peerscope,
      map: {
        drawn: () => map.current.drawn(),
        links: () => map.current.drawnLinks(),
        report: () => map.current.report(),
        openAll,
      },
    };
    return () => map.current.close();
  }, []);
  const names = layers.value;
  return html`<section class="map" aria-label="Topology"><div class="frame" ref=${frame}>
    <canvas ref=${lower} class="lower" aria-hidden="true"></canvas>
    <canvas ref=${upper} class="upper" data-testid="map" tabindex="0" role="img"
      aria-label=${`Map of ${count(nodes.value.size)} nodes and ${count(links.value.size)} links. Arrow keys pan, plus and minus zoom, 0 fits. The table lists the same peers.`}></canvas>
    <${Notes} />
    <div class="map-tools">
      ${names.length > 1 && html`<select class="tool" aria-label="Layer of links" title="Layer of links"
          onChange=${(event) => { layer.value = event.target.value || null; }}>
        <option value="">all layers</option>
        ${names.map((name) => html`<option key=${name} value=${name} selected=${name === layer.value}>${name}</option>`)}
      </select>`}
      ${isLarge.value && html`<button class="tool" onClick=${opened.value.size > 0 ? closeAll : openAll}
        title="Regions are bubbles; a click opens one">${opened.value.size > 0 ? "close regions" : "open all"}</button>`}
      ${recording.value === null && html`<button class="tool" title="Replay the last hour" onClick=${openTime}>past hour</button>`}
      <button class="tool" title="Zoom in" aria-label="Zoom in" onClick=${() => map.current.zoom(1.35)}>+</button>
      <button class="tool" title="Zoom out" aria-label="Zoom out" onClick=${() => map.current.zoom(1 / 1.35)}>−</button>
      <button class="tool" title="Show everything (0)" onClick=${() => map.current.fit()}>fit</button>
    </div>
    <${Tooltip} where=${(ref) => map.current?.where(ref)} />
  </div><${TimeBar} /><${Legend} /></section>`;
}
