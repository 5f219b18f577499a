// Places and outlines of regions on the map. Pure geometry.
//
// Up to a dozen regions lie on an ellipse in the order of their names. Links between regions then
// cross the empty middle, and all dashboards show the same picture. More regions would leave a huge
// empty middle, so the layout worker packs them side by side.

export const RING_MAX = 12;
/** World units between neighbouring peers; zooming to fit makes the absolute value irrelevant. */
export const SPACING = 24;

const GAP = SPACING * 2.2;

/** The radius of a disc that holds `count` peers. */
export function discRadius(count) {
  return SPACING * (0.55 * Math.sqrt(count) + 0.45);
}

/**
 * Put discs on an ellipse so that none touches another and all fill a box of width:height = `aspect`.
 * `discs`: [{radius}] in order; returns [{x, y}] in the same order, centred on the origin.
 */
export function ring(discs, aspect) {
  if (discs.length <= 1) return discs.map(() => ({ x: 0, y: 0 }));
  // The discs add the same width to both axes, so the curve must be flatter than the box.
  const curve = ellipse(aspect ** 1.6);
  const total = discs.reduce((sum, disc) => sum + disc.radius, 0);
  // Two regions lie side by side, more begin at the top.
  let share = discs.length === 2 ? 0.5 - discs[0].radius / total / 2 : 0.75 - discs[0].radius / total / 2;
  const points = discs.map((disc) => {
    const point = curve((share + disc.radius / total / 2) % 1);
    share += disc.radius / total;
    return point;
  });
  const scale = Math.max(1, crowding(discs, points, GAP));
  return points.map(({ x, y }) => ({ x: x * scale, y: y * scale }));
}

/** A unit-height ellipse by share of its circumference, clockwise on a screen from the right end. */
function ellipse(aspect) {
  const STEPS = 720;
  const lengths = [0];
  const at = (step) => ({ x: aspect * Math.cos((step / STEPS) * 2 * Math.PI), y: Math.sin((step / STEPS) * 2 * Math.PI) });
  for (let step = 1; step <= STEPS; step += 1) {
    const a = at(step - 1);
    const b = at(step);
    lengths.push(lengths[step - 1] + Math.hypot(b.x - a.x, b.y - a.y));
  }
  return (share) => at(Math.max(0, lengths.findIndex((length) => length >= share * lengths[STEPS])));
}

/** Factor by which `points` must spread for these discs to lie `gap` apart; at most 1 if they do. */
export function crowding(discs, points, gap) {
  let scale = 0;
  for (let i = 0; i < discs.length; i += 1) {
    for (let j = i + 1; j < discs.length; j += 1) {
      const wanted = discs[i].radius + discs[j].radius + gap;
      const distance = Math.hypot(points[i].x - points[j].x, points[i].y - points[j].y) || 1e-9;
      scale = Math.max(scale, wanted / distance);
    }
  }
  return scale;
}

/** Corners of the convex hull, in order around it (Andrew's monotone chain). */
export function hull(points) {
  if (points.length < 3) return points;
  const sorted = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const lower = chain(sorted);
  const upper = chain(sorted.reverse());
  return [...lower.slice(0, -1), ...upper.slice(0, -1)];
}

function chain(points) {
  const kept = [];
  for (const point of points) {
    while (kept.length >= 2 && turn(kept.at(-2), kept.at(-1), point) <= 0) kept.pop();
    kept.push(point);
  }
  return kept;
}

function turn(o, a, b) {
  return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
}

/** {left, top, right, bottom} around points given as x, y, x, y, ...; null when there are none. */
export function bounds(xy) {
  if (xy.length === 0) return null;
  const box = { left: Infinity, top: Infinity, right: -Infinity, bottom: -Infinity };
  for (let i = 0; i < xy.length; i += 2) {
    box.left = Math.min(box.left, xy[i]);
    box.right = Math.max(box.right, xy[i]);
    box.top = Math.min(box.top, xy[i + 1]);
    box.bottom = Math.max(box.bottom, xy[i + 1]);
  }
  return box;
}
