// Regions: a world map if their names are known places, else a matrix; and a table.

import { computed, html, signal, useEffect, useState } from "./vendor/preact.js";
import { Availability } from "./availability.js";
import { Choice, Panel } from "./tabs.js";
import { Glyph, STATUSES, band } from "./statuses.js";
import { bareMs, count, counted, latency, median, percent, plain } from "./format.js";
import { links, nodes, regions, search } from "./state.js";
import { placeOf } from "./geography.js";
import { OtherZones } from "./zones.js";

const WIDTH = 960;
const HEIGHT = 460;
const MATRIX_MAX = 30;
/** Lines between regions, those with most links. */
const LINES_MAX = 300;
const CONDITIONS = { healthy: "healthy", degraded: "degraded", critical: "unhealthy" };

const view = signal(null);
const VIEWS = [["map", "Map"], ["matrix", "Matrix"]];

/** [{ends, count, rtt_s}] of the links between two regions each, most links first. */
const between = computed(() => {
  const found = new Map();
  for (const link of links.value.values()) {
    if (link.layer !== "mesh") continue;
    const ends = [nodes.value.get(link.source)?.region, nodes.value.get(link.target)?.region];
    if (!ends[0] || !ends[1] || ends[0] === ends[1]) continue;
    ends.sort();
    const key = ends.join("\n");
    let pair = found.get(key);
    if (!pair) found.set(key, (pair = { ends, count: 0, rtts: [] }));
    pair.count += 1;
    if (!link.estimated && link.rtt_s !== undefined) pair.rtts.push(link.rtt_s);
  }
  return [...found.values()].map(({ ends, count: links_, rtts }) => ({ ends, count: links_, rtt_s: median(rtts) }))
    .sort((a, b) => b.count - a.count);
});

export function Regions() {
  const list = regions.value;
  const placed = list.map((region) => ({ ...region, at: placeOf(region.region) })).filter(({ at }) => at);
  const usual = placed.length * 2 >= list.length ? "map" : "matrix";
  const shown = view.value ?? usual;
  return html`<${Panel} name="regions" title="Regions" note="Each with the health of its peers, and the links between them by round trip."
      tools=${html`<${Choice} of=${VIEWS} value=${view} usual=${usual} label="How regions are shown" />`}>
    ${list.length === 0 ? html`<div class="empty"><h3>No region is known</h3>
      <p>Start agents with <code>--region NAME</code>, or let the country of their address decide with <code>peer.geo</code>.</p></div>`
      : html`${shown === "map" ? html`<${World} placed=${placed} all=${list} />` : html`<${Matrix} list=${list} />`}<${Table} list=${list} />`}
    <${Availability} />
    <${OtherZones} />
  <//>`;
}

function World({ placed, all }) {
  const [geo, setGeo] = useState(null);
  useEffect(() => {
    import("./vendor/geo.js").then(setGeo);
  }, []);
  if (!geo) return html`<div class="world waiting"></div>`;
  const projection = geo.geoNaturalEarth1().fitExtent([[4, 4], [WIDTH - 4, HEIGHT + 36]], { type: "Sphere" });
  const path = geo.geoPath(projection).digits(1);
  const at = new Map(spread(placed.map((region) => ({ region, xy: projection(region.at) }))).map(({ region, xy }) => [region.region, xy]));
  const lines = between.value.filter(({ ends }) => at.has(ends[0]) && at.has(ends[1])).slice(0, LINES_MAX);
  const most = Math.max(1, ...lines.map((line) => line.count));
  const lost = all.filter(({ region }) => !at.has(region));
  return html`<svg class="world" data-testid="world" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img"
      aria-label=${`World map of ${placed.length} regions; the table below lists them`}>
    <path class="graticule" d=${path(geo.geoGraticule10())} />
    <path class="land" d=${path(geo.land)} />
    ${lines.map((line) => html`<path key=${line.ends.join("\n")} class=${`line link-${band(line.rtt_s)}`}
      d=${arc(at.get(line.ends[0]), at.get(line.ends[1]))} stroke-width=${(0.9 + 2.6 * Math.sqrt(line.count / most)).toFixed(2)}>
      <title>${`${plain(line.ends[0])} – ${plain(line.ends[1])}: ${latency(line.rtt_s)} over ${counted(line.count, "link")}`}</title></path>`)}
    ${placed.map((region) => html`<${Circle} key=${region.region} region=${region} xy=${at.get(region.region)} />`)}
  </svg>
  ${lost.length > 0 && html`<p class="muted">Not on the map, because their names are no known places: ${lost.slice(0, 12).map((one) => plain(one.region, 24)).join(", ")}${lost.length > 12 ? ` and ${lost.length - 12} more` : ""}.</p>`}`;
}

/** Move overlapping circles apart a little. */
function spread(circles) {
  for (let pass = 0; pass < 12; pass += 1) {
    for (const one of circles) {
      for (const other of circles) {
        if (one === other) continue;
        const [dx, dy] = [other.xy[0] - one.xy[0] || 0.5, other.xy[1] - one.xy[1]];
        const apart = Math.hypot(dx, dy);
        const wanted = radiusOf(one.region) + radiusOf(other.region) + 3;
        if (apart >= wanted) continue;
        const by = (wanted - apart) / 2 / apart;
        one.xy = [one.xy[0] - dx * by, one.xy[1] - dy * by];
        other.xy = [other.xy[0] + dx * by, other.xy[1] + dy * by];
      }
    }
  }
  return circles;
}

function radiusOf({ total_peers: total }) {
  return Math.min(30, 6 + 1.6 * Math.sqrt(total));
}

/** A curve that bends away from the equator, as a great circle does. */
function arc([x0, y0], [x1, y1]) {
  const lift = Math.min(70, Math.hypot(x1 - x0, y1 - y0) * 0.22);
  const up = (y0 + y1) / 2 < HEIGHT * 0.62 ? -1 : 1;
  return `M${x0.toFixed(1)} ${y0.toFixed(1)}Q${((x0 + x1) / 2).toFixed(1)} ${((y0 + y1) / 2 + up * lift).toFixed(1)} ${x1.toFixed(1)} ${y1.toFixed(1)}`;
}

/** A region by size, with a ring of its statuses and the glyph of its health. */
function Circle({ region, xy: [x, y] }) {
  const radius = radiusOf(region);
  const show = () => { search.value = region.region; };
  const condition = CONDITIONS[region.status] ?? "unknown";
  return html`<g class="region" transform=${`translate(${x.toFixed(1)} ${y.toFixed(1)})`} tabindex="0" role="button"
      aria-label=${`${plain(region.region)}: ${region.status}, ${region.healthy_peers} of ${region.total_peers} healthy. Lists its peers.`}
      onClick=${show} onKeyDown=${(event) => { if (event.key === "Enter") show(); }}>
    <title>${`${plain(region.region)}: ${region.status}, ${region.healthy_peers} of ${region.total_peers} peers healthy`}</title>
    <circle class="ground" r=${radius} />
    ${slices(region).map(({ status, from, to }) => html`<path key=${status} class=${`slice ${status}`} d=${slice(radius - 1.6, from, to)} />`)}
    <text class="count-in" y="4">${region.total_peers}</text>
    ${condition !== "healthy" && html`<g transform=${`translate(${(radius * 0.72).toFixed(1)} ${(-radius * 0.72).toFixed(1)}) scale(5.5)`}><${Glyph} status=${condition} /></g>`}
    <text class="name" y=${radius + 13}>${plain(region.region, 18)}</text>
  </g>`;
}

function slices(region) {
  const found = [];
  let from = 0;
  for (const status of STATUSES) {
    const share = (region[`${status}_peers`] ?? 0) / Math.max(1, region.total_peers);
    if (share > 0) found.push({ status, from, to: from + share });
    from += share;
  }
  return found;
}

function slice(radius, from, to) {
  const point = (share) => `${(radius * Math.sin(share * 2 * Math.PI)).toFixed(2)} ${(-radius * Math.cos(share * 2 * Math.PI)).toFixed(2)}`;
  if (to - from > 0.999) return `M0 ${-radius}A${radius} ${radius} 0 1 1 0 ${radius}A${radius} ${radius} 0 1 1 0 ${-radius}`;
  return `M${point(from)}A${radius} ${radius} 0 ${to - from > 0.5 ? 1 : 0} 1 ${point(to)}`;
}

function Matrix({ list }) {
  const names = [...list].sort((a, b) => b.total_peers - a.total_peers).slice(0, MATRIX_MAX).map(({ region }) => region).sort();
  const cells = new Map(between.value.map((pair) => [pair.ends.join("\n"), pair]));
  const inside = new Map(list.map((region) => [region.region, region]));
  return html`<div class="scroll-both"><table class="heatmap wide" data-testid="region-matrix" aria-label="Links between regions">
    <thead><tr><td></td>${names.map((name) => html`<th scope="col" key=${name} title=${plain(name)}><span>${plain(name, 14)}</span></th>`)}</tr></thead>
    <tbody>${names.map((row) => html`<tr key=${row}>
      <th scope="row" title=${plain(row)}><${Glyph} status=${CONDITIONS[inside.get(row).status] ?? "unknown"} label=${inside.get(row).status} />${plain(row, 20)}</th>
      ${names.map((column) => {
        if (row === column) return html`<td key=${column} class=${`link-${band(inside.get(row).rtt_s)} own`} title=${`inside ${plain(row)}`}>${bareMs(inside.get(row).rtt_s)}</td>`;
        const pair = cells.get([row, column].sort().join("\n"));
        return html`<td key=${column} class=${pair ? `link-${band(pair.rtt_s)}` : "none-known"}
          title=${pair ? counted(pair.count, "link") : "no link"}>${pair ? html`${bareMs(pair.rtt_s)}<small>${pair.count}</small>` : "–"}</td>`;
      })}</tr>`)}</tbody></table></div>
    <p class="muted matrix-note">Median round trip in milliseconds, and the number of measured links.</p>
    ${list.length > MATRIX_MAX && html`<p class="muted">The ${MATRIX_MAX} largest of ${list.length} regions.</p>`}`;
}

function Table({ list }) {
  const order = { critical: 0, degraded: 1, healthy: 2 };
  const rows = [...list].sort((a, b) => (order[a.status] ?? 3) - (order[b.status] ?? 3) || a.region.localeCompare(b.region));
  return html`<div class="scroll-x"><table class="plain-table" data-testid="regions" aria-label="Regions">
    <thead><tr><th scope="col">Region</th><th scope="col">Status</th><th scope="col" class="number">Healthy</th><th scope="col">Peers</th>
      <th scope="col" class="number" title="Share of ring links inside the region that are up">Connectivity</th>
      <th scope="col" class="number">RTT inside</th><th scope="col" class="number" title="Other regions with a link to this one">Reaches</th></tr></thead>
    <tbody>${rows.map((region) => html`<tr key=${region.region} data-region=${region.region}>
      <td><button class="link plain-link" onClick=${() => { search.value = region.region; }} title="List its peers">${plain(region.region, 32)}</button>${
        region.source === "declared" ? "" : html` <span class="muted">${region.source === "country" ? "by address" : "a guess"}</span>`}</td>
      <td><${Glyph} status=${CONDITIONS[region.status] ?? "unknown"} />${plain(region.status, 12)}</td>
      <td class="number">${count(region.healthy_peers)} of ${count(region.total_peers)}</td>
      <td><span class="bar">${slices(region).map(({ status, from, to }) => html`<i key=${status} class=${status} style=${{ flexGrow: to - from }} />`)}</span></td>
      <td class="number">${percent(region.connectivity)}</td><td class="number">${latency(region.rtt_s)}</td>
      <td class="number">${region.reached_regions} of ${region.other_regions}</td></tr>`)}</tbody></table></div>`;
}
