// The world behind the regions: a projection, and the outline of the land.
import { feature } from "topojson-client";
import atlas from "world-atlas/land-110m.json";

export { geoGraticule10, geoInterpolate, geoNaturalEarth1, geoPath } from "d3-geo";
export const land = feature(atlas, atlas.objects.land);
