// Places peers in a thread of its own, so that the page never waits.
//
// Forces pull peers to the anchor of their region and to neighbours in the same region, and push
// them off each other. Links between regions have no force: they would stretch every region
// towards the middle.
//
// Positions survive every change. A new peer begins beside its neighbours. The other peers move in
// proportion to the change, so that an operator still recognises the map.

import { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "./vendor/force.js";
import { SPACING } from "./regions.js";
import { anchorsOf, locate } from "./positions.js";

const ALPHA_MIN = 0.01;
const FRAME_MS = 24;
// The page shows the start positions at once. This much is computed before the next picture.
const HEAD_START_MS = 120;

let nodes = new Map();
let anchors = new Map();
let version = 0;
let still = false;
let timer = null;

const simulation = forceSimulation().stop().alphaMin(ALPHA_MIN).alphaDecay(1 - ALPHA_MIN ** (1 / 140)).velocityDecay(0.45)
  .force("x", forceX((node) => node.anchor.x))
  .force("y", forceY((node) => node.anchor.y))
  .force("charge", forceManyBody().strength(-SPACING * 0.7).distanceMax(SPACING * 5).theta(1))
  .force("collide", forceCollide(SPACING * 0.46).iterations(1))
  .force("links", forceLink().distance(SPACING * 1.6));

let all = [];
let discs = null;

onmessage = ({ data }) => {
  const first = nodes.size === 0;
  version = data.version;
  still = data.still;
  const heat = settle(data);
  discs = [...anchors].map(([name, { x, y, radius }]) => [name, x, y, radius]);
  simulation.alpha(Math.max(simulation.alpha() > ALPHA_MIN * 1.5 ? simulation.alpha() : 0, heat));
  if (first) advance(HEAD_START_MS, ALPHA_MIN * 4);
  if (timer === null && all.length > 0) run();
};

/** Apply the graph; returns the heat of the simulation for this change, 0..1. */
function settle({ ids, regions, pairs, closed, aspect }) {
  anchors = anchorsOf(regions, aspect, anchors);
  const shut = new Set(closed);
  const previous = nodes;
  const within = linksWithin(regions, pairs);
  const neighbours = ids.map(() => []);
  for (const [source, target] of within) {
    neighbours[source].push(target);
    neighbours[target].push(source);
  }
  const ranks = new Map();
  let moved = 0;
  nodes = new Map();
  all = ids.map((id, index) => {
    const region = regions[index];
    const anchor = anchors.get(region);
    const rank = ranks.get(region) ?? 0;
    ranks.set(region, rank + 1);
    const old = previous.get(id);
    const isOpen = !shut.has(region);
    if (!old || (isOpen && !old.isOpen)) moved += isOpen ? 1 : 0;
    else if (Math.hypot(old.anchor.x - anchor.x, old.anchor.y - anchor.y) > SPACING * 4) moved += 0.5;
    const known = neighbours[index].map((other) => previous.get(ids[other])).filter(Boolean);
    // A new peer begins beside its neighbours; in the first graph, peers fill the disc evenly.
    const node = old ?? seed(previous.size > 0 ? known : [], anchor, rank);
    node.anchor = anchor;
    node.isOpen = isOpen;
    nodes.set(id, node);
    return node;
  });
  const open = all.filter((node) => node.isOpen);
  const place = new Map(open.map((node, index) => [node, index]));
  const strength = open.length > 200 ? 0.12 : 0.08;
  simulation.nodes(open);
  simulation.force("x").strength(strength);
  simulation.force("y").strength(strength);
  simulation.force("links").links(within.filter(([source]) => all[source].isOpen)
    .map(([source, target]) => ({ source: place.get(all[source]), target: place.get(all[target]) }))).strength(0.03);
  if (open.length === 0) return 0;
  const gone = [...previous.keys()].filter((id) => !nodes.has(id)).length;
  return previous.size === 0 ? 1 : Math.min(0.5, 0.04 + 1.5 * (moved + gone) / open.length);
}

function linksWithin(regions, pairs) {
  const links = [];
  for (let i = 0; i < pairs.length; i += 2) {
    if (regions[pairs[i]] === regions[pairs[i + 1]]) links.push([pairs[i], pairs[i + 1]]);
  }
  return links;
}

/** A start beside the neighbours on the map, else at a position of the region. */
function seed(neighbours, anchor, rank) {
  if (neighbours.length === 0) return locate(anchor, rank);
  const { x, y } = locate({ x: 0, y: 0 }, 1 + (rank % 7));
  const middle = (of) => neighbours.reduce((sum, node) => sum + of(node), 0) / neighbours.length;
  return { x: middle((node) => node.x) + x, y: middle((node) => node.y) + y };
}

/** Tick until the simulation reaches `alpha`, or for `budget` milliseconds. */
function advance(budget, alpha) {
  const until = performance.now() + budget;
  while (simulation.alpha() > alpha && performance.now() < until) simulation.tick();
}

function run() {
  timer = null;
  const begun = performance.now();
  if (still) advance(Infinity, ALPHA_MIN); // reduced motion: only the final picture
  else simulation.tick();
  const done = simulation.alpha() <= ALPHA_MIN;
  const list = all;
  const xy = new Float32Array(list.length * 2);
  for (let i = 0; i < list.length; i += 1) {
    xy[2 * i] = list[i].x;
    xy[2 * i + 1] = list[i].y;
  }
  postMessage({ version, xy, done, discs }, [xy.buffer]);
  discs = null;
  if (!done) timer = setTimeout(run, Math.max(2, FRAME_MS - (performance.now() - begun)));
}
