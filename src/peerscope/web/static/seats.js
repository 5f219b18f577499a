// Where peers sit before any force has moved them: known at once, and nearly right.
//
// The page and its layout worker share this, so that the first picture is the beginning of the layout.

import { forceCollide, forceSimulation, forceX, forceY } from "./vendor/force.js";
import { RING_MAX, SPACING, crowding, discRadius, ring } from "./regions.js";

/** Region -> {x, y, radius}, `before` being those of a moment ago. Regions stay where they are until one comes, goes or grows into another. */
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

/** Many regions: discs side by side, as close as they go. Deterministic, as d3 seeds itself. */
function packed(discs, aspect) {
  const circles = discs.map(({ radius }) => ({ radius }));
  forceSimulation(circles).stop()
    .force("x", forceX(0).strength(0.05))
    .force("y", forceY(0).strength(0.05 * aspect))
    .force("collide", forceCollide((circle) => circle.radius + SPACING).iterations(4))
    .tick(200);
  return circles.map(({ x, y }) => ({ x, y }));
}

/** The seat of this rank on the sunflower that fills a region's disc. */
export function seat(anchor, rank) {
  const angle = rank * 2.399963;
  const radius = SPACING * 0.5 * Math.sqrt(rank);
  return { x: anchor.x + radius * Math.cos(angle), y: anchor.y + radius * Math.sin(angle) };
}

/** {xy, discs}: everybody on the first free seat of their region. */
export function seated(regions, aspect) {
  const anchors = anchorsOf(regions, aspect, new Map());
  const taken = new Map();
  const xy = new Float32Array(regions.length * 2);
  regions.forEach((region, i) => {
    const rank = taken.get(region) ?? 0;
    taken.set(region, rank + 1);
    const { x, y } = seat(anchors.get(region), rank);
    xy[2 * i] = x;
    xy[2 * i + 1] = y;
  });
  return { xy, discs: anchors };
}
