// The page's end of the layout worker: sends the graph when its shape changes, keeps the newest positions.

import { startPositions } from "./positions.js";

export class Layout {
  /** Names of nodes in the order of `xy`: x, y, x, y, ... in world units. */
  ids = [];
  xy = new Float32Array(0);
  /** name -> place in `ids` */
  index = new Map();
  /** region -> {x, y, radius}: the disc that its peers are given */
  discs = new Map();
  settled = false;

  #worker;
  #version = 0;
  #sent = new Map();
  #shape = null;
  #onmove;

  constructor(onmove) {
    this.#onmove = onmove;
    this.#worker = new Worker(new URL("./layout-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      if (data.version !== this.#version) return; // of a graph that was already replaced
      const ids = this.#sent.get(data.version);
      if (ids !== this.ids) this.#name(ids);
      if (data.discs) this.discs = new Map(data.discs.map(([name, x, y, radius]) => [name, { x, y, radius }]));
      this.xy = data.xy;
      this.settled = data.done;
      onmove();
    };
    this.#worker.onerror = (event) => console.error("layout worker:", event.message);
  }

  /** Lay out these nodes and links; nodes of `closed` regions stay in place. Only nodes, regions and links matter, not
   * statuses. */
  update(nodes, links, { closed, aspect, still }) {
    const ids = [...nodes.keys()].sort();
    const place = new Map(ids.map((id, index) => [id, index]));
    const pairs = [];
    const seen = new Set();
    for (const { source, target } of links.values()) {
      const a = place.get(source);
      const b = place.get(target);
      if (a === undefined || b === undefined || a === b) continue;
      const key = a < b ? a * ids.length + b : b * ids.length + a;
      if (seen.has(key)) continue; // links in both directions or on two layers are one neighbour
      seen.add(key);
      pairs.push(a, b);
    }
    const regions = regionsOf(ids, nodes, pairs);
    const shape = { ids, regions, pairs: Uint32Array.from(pairs), closed: [...closed].sort() };
    if (ids.length === 0 || (this.#shape && same(this.#shape, shape))) return;
    this.#shape = shape;
    this.#version += 1;
    this.#sent = new Map([[this.#version, ids]]);
    this.#worker.postMessage({ version: this.#version, ...shape, aspect, still });
    if (this.ids.length > 0) return;
    this.#name(ids); // a first picture before the worker has one
    Object.assign(this, startPositions(regions, aspect));
    this.#onmove();
  }

  #name(ids) {
    this.ids = ids;
    this.index = new Map(ids.map((id, place) => [id, place]));
  }
}

/** Region of each node. An unmonitored node takes the region of its first neighbour. */
function regionsOf(ids, nodes, pairs) {
  const regions = ids.map((id) => (nodes.get(id).monitored ? nodes.get(id).place : null));
  for (let i = 0; i < pairs.length; i += 2) {
    regions[pairs[i]] ??= regions[pairs[i + 1]];
    regions[pairs[i + 1]] ??= regions[pairs[i]];
  }
  return regions.map((region) => region ?? "");
}

function same(a, b) {
  return ["ids", "regions", "pairs", "closed"].every((key) =>
    a[key].length === b[key].length && a[key].every((value, index) => value === b[key][index]));
}
