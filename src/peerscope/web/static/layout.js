// The page's end of the layout worker: sends the graph when its shape changes, keeps the newest positions.

export class Layout {
  /** Peers in the order of `xy`: x, y, x, y, ... in world units. */
  ids = [];
  xy = new Float32Array(0);
  /** peer id -> place in `ids` */
  index = new Map();
  settled = false;

  #worker;
  #version = 0;
  #sent = new Map();
  #shape = null;

  constructor(onmove) {
    this.#worker = new Worker(new URL("./layout-worker.js", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }) => {
      if (data.version !== this.#version) return; // a picture of a graph we have already replaced
      const ids = this.#sent.get(data.version);
      const renewed = ids !== this.ids;
      if (renewed) {
        this.ids = ids;
        this.index = new Map(ids.map((id, place) => [id, place]));
      }
      this.xy = data.xy;
      this.settled = data.done;
      onmove(renewed);
    };
    this.#worker.onerror = (event) => console.error("layout worker:", event.message);
  }

  /** Lay out these peers and links. Only who exists, where and linked to whom matters, not how they fare. */
  update(peers, links, { aspect, still }) {
    const ids = [...peers.keys()].sort();
    const place = new Map(ids.map((id, index) => [id, index]));
    const pairs = [];
    const seen = new Set();
    for (const { source, target } of links.values()) {
      const a = place.get(source);
      const b = place.get(target);
      if (a === undefined || b === undefined || a === b) continue;
      const key = a < b ? a * ids.length + b : b * ids.length + a;
      if (seen.has(key)) continue; // one link each way, or on two layers, is still one neighbour
      seen.add(key);
      pairs.push(a, b);
    }
    const regions = ids.map((id) => peers.get(id).place);
    const shape = { ids, regions, pairs: Uint32Array.from(pairs) };
    if (this.#shape && same(this.#shape, shape)) return;
    this.#shape = shape;
    this.#version += 1;
    this.#sent = new Map([[this.#version, ids]]);
    this.#worker.postMessage({ version: this.#version, ...shape, aspect, still });
  }
}

function same(a, b) {
  return ["ids", "regions", "pairs"].every((key) =>
    a[key].length === b[key].length && a[key].every((value, index) => value === b[key][index]));
}
