// The topology map: joins state, layout, view and painter, and draws only when something changed.

import { effect, html, untracked, useLayoutEffect, useRef } from "./vendor/preact.js";
import { quadtree } from "./vendor/force.js";
import { Layout } from "./layout.js";
import { LinksCanvas } from "./links-canvas.js";
import { PeersCanvas } from "./peers-canvas.js";
import { glyphRadius, haloPadding } from "./drawing.js";
import { View, fitting, gestures } from "./view.js";
import { focusOf, sceneOf } from "./scene.js";
import { bounds } from "./regions.js";
import { Legend, Tooltip } from "./legend.js";
import { hovered, layer, layers, links, matching, me, peers, selected } from "./state.js";
import { count } from "./format.js";

const PICK_PX = 14;
const NARROW_PX = 560;

class TopologyMap {
  #frame = null;
  #stale = { scene: true, below: true };
  #tree = null;
  #framed = false;
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
      changed: () => this.#invalidate({ below: true }),
      point: (x, y) => this.#point(x, y),
      click: (x, y) => { selected.value = this.#pick(x, y); },
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
      effect(() => this.#changed(peers.value, links.value, layer.value)),
      effect(() => {
        void [selected.value, hovered.value, matching.value, me.value];
        this.#invalidate({});
      }),
    ];
  }

  fit() {
    this.#fit(!this.quiet.matches);
  }

  zoom(factor) {
    this.view.zoomAt(this.peers.width / 2, this.peers.height / 2, factor);
    this.#invalidate({ below: true });
  }

  drawn() {
    return this.peers.drawn.map((peer) => ({ ...peer }));
  }

  drawnLinks() {
    return this.links.drawn.map(([link, color]) =>
      ({ source: link.source, target: link.target, layer: link.layer, rtt_s: link.rtt_s ?? null, color }));
  }

  #changed(allPeers, allLinks) {
    const { width, height } = this.peers;
    // Less the room that names take beside and above.
    const aspect = Math.max(40, width - (width < NARROW_PX ? 150 : 270)) / Math.max(40, height - 130);
    this.layout.update(allPeers, allLinks, { aspect: Math.min(2, Math.max(0.6, aspect)), still: this.quiet.matches });
    this.#invalidate({ scene: true, below: true });
  }

  #moved() {
    this.#tree = null;
    this.#stale.scene = true;
    if (this.view.following) this.#follow();
    this.#invalidate({ below: true });
  }

  /** Keep everything visible, but leave the picture alone while it fits about as well as it could. */
  #follow() {
    const before = { k: this.view.k, x: this.view.x, y: this.view.y };
    const box = bounds(this.layout.xy);
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
    this.#stale.scene = true; // names stand elsewhere on a narrow screen
    if (this.view.following) this.#fit(false);
    this.#invalidate({ below: true });
    // Resizing clears a canvas at once; painting in the same turn keeps it from flashing.
    this.#paint(performance.now());
  }

  #fit(glide) {
    const box = bounds(this.layout.xy);
    if (!box) return;
    const { width, height } = this.peers;
    const scene = this.#scene();
    const kMax = 3.2; // few peers would otherwise be blown up until the map looks empty
    // Halos grow with the zoom and the zoom follows from the room they leave: twice is close enough.
    let k = 1;
    let margin;
    for (let pass = 0; pass < 2; pass += 1) {
      margin = roomForNames(scene, haloPadding({ k }));
      if (scene.count <= 1) margin.bottom = height * 0.6; // the place of the card that welcomes a lone peer
      k = fitting(box, width, height, margin, kMax);
    }
    this.view.show(box, { k, width, height, margin, glide });
    this.#invalidate({ below: true });
  }

  #point(x, y) {
    const id = x === null ? null : this.#pick(x, y);
    this.upper.classList.toggle("pointing", id !== null);
    if (hovered.value !== id) hovered.value = id;
  }

  /** The peer at a place on the screen, as it was last drawn. */
  #pick(x, y) {
    this.#tree ??= quadtree(this.peers.drawn, (peer) => peer.x, (peer) => peer.y);
    return this.#tree.find(x, y, Math.max(PICK_PX, glyphRadius(this.view) + 4))?.id ?? null;
  }

  where(id) {
    return this.peers.drawn.find((peer) => peer.id === id) ?? null;
  }

  #invalidate(what) {
    Object.assign(this.#stale, what);
    this.#frame ??= requestAnimationFrame((time) => this.#paint(time));
  }

  #paint(time) {
    cancelAnimationFrame(this.#frame);
    this.#frame = null;
    const gliding = this.view.step(time);
    const scene = this.#scene();
    if (this.#stale.below) this.links.paint(scene, this.view);
    this.peers.paint(scene, this.view);
    this.#tree = null;
    this.#stale.below = gliding;
    if (gliding) this.#invalidate({ below: true });
  }

  #scene() {
    return untracked(() => {
      if (this.#stale.scene || !this.scene) {
        this.scene = sceneOf({
          layout: this.layout, peers: peers.value, links: links.value, layer: layer.value, narrow: this.peers.width < NARROW_PX,
        });
        this.#stale.scene = false;
      }
      const scene = this.scene;
      const wanted = matching.value;
      const focused = selected.value ?? hovered.value;
      scene.me = me.value?.peer_id ?? null;
      scene.selected = selected.value;
      scene.hovered = hovered.value;
      scene.focus = focused === null ? null : focusOf(scene.edges, scene.ids, this.layout.index.get(focused));
      const near = selected.value === null ? null : scene.focus?.near;
      scene.isFaint = (id) => (near ? !near.has(id) : wanted !== null && !wanted.has(id));
      scene.isMarked = (id) => id === scene.me || id === scene.selected || id === scene.hovered;
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

export function Topology() {
  const frame = useRef();
  const lower = useRef();
  const upper = useRef();
  const map = useRef(null);
  useLayoutEffect(() => {
    map.current = new TopologyMap(frame.current, lower.current, upper.current);
    window.peerscope = {
      ...window.peerscope,
      map: { drawn: () => map.current.drawn(), links: () => map.current.drawnLinks() },
    };
    return () => map.current.close();
  }, []);
  const names = layers.value;
  return html`<section class="map" aria-label="Topology"><div class="frame" ref=${frame}>
    <canvas ref=${lower} class="lower" aria-hidden="true"></canvas>
    <canvas ref=${upper} class="upper" data-testid="map" tabindex="0" role="img"
      aria-label=${`Map of ${count(peers.value.size)} peers and ${count(links.value.size)} links. Arrow keys pan, plus and minus zoom, 0 fits. The table lists the same peers.`}></canvas>
    <div class="map-tools">
      ${names.length > 1 && html`<select class="tool" aria-label="Layer of links" title="Layer of links"
          onChange=${(event) => { layer.value = event.target.value || null; }}>
        <option value="">all layers</option>
        ${names.map((name) => html`<option key=${name} value=${name} selected=${name === layer.value}>${name}</option>`)}
      </select>`}
      <button class="tool" title="Zoom in" aria-label="Zoom in" onClick=${() => map.current.zoom(1.35)}>+</button>
      <button class="tool" title="Zoom out" aria-label="Zoom out" onClick=${() => map.current.zoom(1 / 1.35)}>−</button>
      <button class="tool" title="Show everything (0)" onClick=${() => map.current.fit()}>fit</button>
    </div>
    <${Tooltip} where=${(id) => map.current?.where(id)} />
  </div><${Legend} /></section>`;
}
