// The graph layout: forces for the worker, the quadtree for picking in the page.
export { forceCollide, forceLink, forceManyBody, forceSimulation, forceX, forceY } from "d3-force";
export { quadtree } from "d3-quadtree";
