// Start positions of peers, before any force moves them.
//
// The page and its layout worker share them, so that the layout begins at the first picture.

import { forceCollide, forceSimulation, forceX, forceY } from "./vendor/force.js";
import { RING_MAX, SPACING, crowding, discRadius, ring } from "./regions.js";

/** Region -> {x, y, radius}; `before`: the last ones. Regions stay in place until one is added, removed or overlaps another. */
export function anchorsOf(regions, aspect, before) {
  const counts = new Map();
  for (const region of regions) counts.set(region, (counts.get(region) ?? 0) + 1);
  const names = [...counts.keys()].sort();
  const discs = names.map((name) => ({ radius: discRadius(counts.get(name)) }));
  const known = names.length === before.size && names.every((name) => before.has(name));
  if (known && crowding(discs, names.map((name) => before.get(name)), SPACING) <= 1) {
    return new Map(names.map((name, index) => [name, { ...before.get(name), radius: discs[index].radius }]));
  }
  const points = names.length <= RING_MAX ? ring(discs, aspect) : packed(discs, aspect);
  return new Map(names.map((name, index) => [name, { ...points[index], radius: discs[index].radius }]));
}

/** Pack many discs close together. Deterministic, as d3 has a fixed seed. */
function packed(discs, aspect) {
  const circles = discs.map(({ radius }) => ({ radius }));
  forceSimulation(circles).stop()
    .force("x", forceX(0).strength(0.05))
    .force("y", forceY(0).strength(0.05 * aspect))
    .force("collide", forceCollide((circle) => circle.radius + SPACING).iterations(4))
    .tick(200);
  return circles.map(({ x, y }) => ({ x, y }));
}

/** The position of this rank on a sunflower spiral that fills a region's disc. */
export function locate(anchor, rank) {
  const angle = rank * 2.399963;
  const radius = SPACING * 0.5 * Math.sqrt(rank);
  return { x: anchor.x + radius * Math.cos(angle), y: anchor.y + radius * Math.sin(angle) };
}

/** {xy, discs}: each peer at the first free position of its region. */
export function startPositions(regions, aspect) {
  const anchors = anchorsOf(regions, aspect, new Map());
  const taken = new Map();
  const xy = new Float32Array(regions.length * 2);
  regions.forEach((region, i) => {
    const rank = taken.get(region) ?? 0;
    taken.set(region, rank + 1);
    const { x, y } = locate(anchors.get(region), rank);
    xy[2 * i] = x;
    xy[2 * i + 1] = y;
  });
  return { xy, discs: anchors };
}
