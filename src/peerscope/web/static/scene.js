// One moment of the network in the shape the painter wants: arrays by place in the layout, not Maps by id.

import { RING_MAX, bounds } from "./regions.js";
import { BANDS, STATUSES, band } from "./statuses.js";

/** Peers of `layout` that still exist, by place; and their links, halos and focus. */
export function sceneOf({ layout, peers, links, layer, narrow }) {
  const { ids, index, xy } = layout;
  const at = ids.map((id) => peers.get(id) ?? null);
  const places = Object.fromEntries(STATUSES.map((status) => [status, []]));
  const regions = new Map();
  at.forEach((peer, place) => {
    if (!peer) return;
    places[peer.status].push(place);
    let region = regions.get(peer.place);
    if (!region) regions.set(peer.place, (region = { name: peer.place, places: [], healthy: 0, total: 0 }));
    region.places.push(place);
    if (peer.status === "left") return; // said goodbye: no longer part of the total
    region.total += 1;
    if (peer.status === "healthy") region.healthy += 1;
  });
  const named = [...regions.values()];
  const terse = narrow && named.length > 3; // names alone, no counts: there is no room for more
  return {
    ids, xy, at, places, terse,
    count: peers.size,
    regions: sided(named, xy),
    edges: edgesOf(links, index, at, layer),
  };
}

/** Add to each region its box in the world and the side its name stands on: the one away from the middle. */
function sided(regions, xy) {
  const all = bounds(xy);
  // Two regions side by side, or a crowd of them, have no room beside, only above.
  const above = regions.length > RING_MAX || regions.length < 4;
  for (const region of regions) {
    region.box = bounds(region.places.flatMap((i) => [xy[2 * i], xy[2 * i + 1]]));
    const x = (region.box.left + region.box.right - all.left - all.right) / (all.right - all.left || 1);
    const y = (region.box.top + region.box.bottom - all.top - all.bottom) / (all.bottom - all.top || 1);
    if (Math.abs(y) >= 0.42) region.side = y > 0 ? "below" : "above";
    else region.side = above ? "above" : x < 0 ? "left" : "right";
  }
  return regions;
}

/** Links as arrays, and grouped by how they look: what looks alike is drawn as one path. */
function edgesOf(links, index, at, layer) {
  const kept = [];
  for (const link of links.values()) {
    if (layer !== null && link.layer !== layer) continue;
    const from = index.get(link.source);
    const to = index.get(link.target);
    if (from === undefined || to === undefined || !at[from] || !at[to]) continue;
    kept.push([from, to, link]);
  }
  const size = kept.length;
  const edges = {
    size,
    from: new Uint32Array(size),
    to: new Uint32Array(size),
    links: new Array(size),
    crossing: new Uint8Array(size),
    bands: new Uint8Array(size),
    groups: [],
  };
  const groups = new Map();
  kept.forEach(([from, to, link], i) => {
    edges.from[i] = from;
    edges.to[i] = to;
    edges.links[i] = link;
    edges.crossing[i] = at[from].place === at[to].place ? 0 : 1;
    edges.bands[i] = BANDS.indexOf(band(link.rtt_s));
    // The key sorts into the order of drawing: between regions first, then the slow on top of the fast.
    const key = `${1 - edges.crossing[i]}${link.estimated ? 0 : 1}${edges.bands[i]}`;
    let group = groups.get(key);
    if (!group) {
      group = { crossing: edges.crossing[i] === 1, estimated: Boolean(link.estimated), band: edges.bands[i], members: [] };
      groups.set(key, group);
    }
    group.members.push(i);
  });
  edges.groups = [...groups.keys()].sort().map((key) => groups.get(key));
  return edges;
}

/** The links of one peer and the ids at their ends, itself among them; null when it is not on the map. */
export function focusOf(edges, ids, place) {
  if (place === undefined) return null;
  const found = [];
  const near = new Set([ids[place]]);
  for (let i = 0; i < edges.size; i += 1) {
    if (edges.from[i] !== place && edges.to[i] !== place) continue;
    found.push(i);
    near.add(ids[edges.from[i]]);
    near.add(ids[edges.to[i]]);
  }
  return { edges: found, near };
}
