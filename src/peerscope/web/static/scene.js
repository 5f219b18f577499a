// The network in the form that the canvases need: arrays by place in the layout, not Maps by name.

import { RING_MAX, bounds, hull } from "./regions.js";
import { BANDS, STATUSES, band } from "./statuses.js";
import { median } from "./format.js";

/** Share of lost peers at which a partition shades a region as a whole. */
const MOSTLY = 0.75;

/**
 * Existing nodes of `layout` by place, with their links, regions, partitions and cut points.
 * If only positions differ from `before`, only outlines are computed again.
 */
export function sceneOf(given, before) {
  const { layout, shape, narrow } = given;
  const { ids, index, xy } = layout;
  const basis = [ids, layout.discs, given.nodes, given.links, given.layer, given.closed];
  const isSame = before !== null && basis.every((part, i) => part === before.basis[i]);
  const content = isSame ? before.content : contentOf(given);
  const { at, places, regions, edges, bundles } = content;
  for (const region of regions) outline(region, xy);
  const members = (names) => names.map((name) => index.get(name)).filter((place) => place !== undefined && at[place]
    && !given.closed.has(at[place].place));
  return {
    ids, index, xy, at, places, edges, bundles, basis, content,
    terse: narrow && regions.length > 3, // names without counts, for lack of space
    count: given.nodes.size,
    drawnCount: STATUSES.reduce((sum, status) => sum + places[status].length, places.hollow.length),
    box: boxOf(regions, places.hollow, xy),
    regions: sided(regions),
    cutPoints: members(shape.articulation_peers),
    partitions: shape.partitions.map(members).filter((group) => group.length > 0)
      .map((group) => ({ size: group.length, patches: patches(group, regions, xy) })),
  };
}

/** Outlines around a partition: one for each region that is mostly in it, else one for each of its peers. */
function patches(group, regions, xy) {
  const inside = new Set(group);
  return regions.flatMap(({ places }) => {
    const mine = (places ?? []).filter((place) => inside.has(place)).map((i) => ({ x: xy[2 * i], y: xy[2 * i + 1] }));
    return mine.length >= MOSTLY * places.length && mine.length > 0 ? [hull(mine)] : mine.map((point) => [point]);
  });
}

function contentOf({ layout, nodes, links, layer, closed }) {
  const { ids, index, discs } = layout;
  const at = ids.map((id) => nodes.get(id) ?? null);
  const places = Object.fromEntries([...STATUSES, "hollow"].map((status) => [status, []]));
  const regions = new Map();
  at.forEach((node, place) => {
    if (!node) return;
    if (!node.monitored) {
      places.hollow.push(place);
      return;
    }
    const isClosed = closed.has(node.place);
    if (!isClosed) places[node.status].push(place);
    let region = regions.get(node.place);
    if (!region) regions.set(node.place, (region = newRegion(node.place, isClosed, discs.get(node.place))));
    if (!isClosed) region.places.push(place);
    region.total += 1;
    region.counts[node.status] = (region.counts[node.status] ?? 0) + 1;
  });
  const shown = [...regions.values()].filter((region) => !region.closed || region.disc);
  return { at, places, regions: shown, ...edgesOf({ links, index, at, layer, closed, regions }) };
}

function newRegion(name, isClosed, disc) {
  return { name, closed: isClosed, disc, places: [], counts: {}, total: 0 };
}

/** Add the outline of a region: the hull of its peers, or its disc. */
function outline(region, xy) {
  if (region.closed) {
    const { x, y, radius } = region.disc;
    region.box = { left: x - radius, right: x + radius, top: y - radius, bottom: y + radius };
    return;
  }
  region.corners = hull(region.places.map((i) => ({ x: xy[2 * i], y: xy[2 * i + 1] })));
  region.box = bounds(region.places.flatMap((i) => [xy[2 * i], xy[2 * i + 1]]));
}

function boxOf(regions, hollow, xy) {
  const corners = regions.flatMap(({ box }) => [box.left, box.top, box.right, box.bottom]);
  return bounds(corners.concat(hollow.flatMap((i) => [xy[2 * i], xy[2 * i + 1]])));
}

/** Add to each region the side of its name, away from the middle. */
function sided(regions) {
  const all = bounds(regions.flatMap(({ box }) => [box.left, box.top, box.right, box.bottom]));
  // Two regions side by side, or many regions, have space for names above only.
  const above = regions.length > RING_MAX || regions.length < 4;
  for (const region of regions) {
    const x = (region.box.left + region.box.right - all.left - all.right) / (all.right - all.left || 1);
    const y = (region.box.top + region.box.bottom - all.top - all.bottom) / (all.bottom - all.top || 1);
    if (Math.abs(y) >= 0.42) region.side = y > 0 ? "below" : "above";
    else region.side = above ? "above" : x < 0 ? "left" : "right";
  }
  return regions;
}

/**
 * Links between open nodes, as arrays, and grouped by look, since each group is one path.
 * Links of closed regions become one bundle per pair of regions, from middle to middle.
 */
function edgesOf({ links, index, at, layer, closed, regions }) {
  const kept = [];
  const bundles = new Map();
  for (const link of links.values()) {
    if (layer !== null && link.layer !== layer) continue;
    const from = index.get(link.source);
    const to = index.get(link.target);
    if (from === undefined || to === undefined || !at[from] || !at[to]) continue;
    const outer = closed.has(at[from].place) || closed.has(at[to].place);
    if (outer && at[from].place === at[to].place) continue;
    if (outer) bundle(bundles, at[from].place, at[to].place, link);
    else kept.push([from, to, link]);
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
    // The key sorts by drawing order: links between regions first, then slow links over fast ones.
    const key = `${1 - edges.crossing[i]}${link.estimated ? 0 : 1}${edges.bands[i]}`;
    let group = groups.get(key);
    if (!group) {
      group = { crossing: edges.crossing[i] === 1, estimated: Boolean(link.estimated), band: edges.bands[i], members: [] };
      groups.set(key, group);
    }
    group.members.push(i);
  });
  edges.groups = [...groups.keys()].sort().map((key) => groups.get(key));
  return { edges, bundles: bundled(bundles, regions) };
}

function bundle(bundles, one, other, link) {
  const key = one < other ? `${one}\n${other}` : `${other}\n${one}`;
  let found = bundles.get(key);
  if (!found) bundles.set(key, (found = { ends: [one, other], count: 0, rtts: [] }));
  found.count += 1;
  if (link.rtt_s !== undefined && link.rtt_s !== null) found.rtts.push(link.rtt_s);
}

function bundled(bundles, regions) {
  return [...bundles.values()]
    .map(({ ends, count, rtts }) => ({
      from: regions.get(ends[0]).disc, to: regions.get(ends[1]).disc, count, band: BANDS.indexOf(band(median(rtts))),
    }))
    .filter(({ from, to }) => from && to)
    .sort((a, b) => a.count - b.count);
}

/** The links of one node and the names at their ends, with its own; null if it is not on the map. */
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
