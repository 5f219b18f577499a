// The table of peers: the data of the map to read, sort, search and use by keyboard.

import { Component, computed, html, signal, useRef } from "./vendor/preact.js";
import { Glyph, STATUSES, URGENCY } from "./statuses.js";
import {
  ageOf, clearFilters, hovered, matching, now, peers, perStatus, search, selected, statusFilter, toggleStatus,
} from "./state.js";
import { age, latency } from "./format.js";
import { verdictOf, verdictWords } from "./verdict.js";

// A screen shows a few dozen; a button shows more.
const ROWS_STEP = 120;
/** More would delay the first picture. */
const ROWS_FIRST = 30;
const FIRST_MS = 1500;

const VERDICT_ORDER = { down: 0, partitioned: 1, suspect: 2, unknown: 3, alive: 4, left: 5 };
const COLUMNS = [
  { key: "id", title: "Peer", of: (peer) => peer.peer_id },
  { key: "region", title: "Region", of: (peer) => peer.place },
  { key: "status", title: "Status", of: (peer) => URGENCY[peer.status] },
  { key: "verdict", title: "Verdict", of: (peer) => VERDICT_ORDER[verdictOf(peer)] },
  { key: "latency", title: "RTT", hint: "Median round trip over the peer's links", number: true, of: (peer) => peer.rtt_s ?? null },
  { key: "age", title: "Age", hint: "Since the peer's newest record", number: true, of: (peer) => (peer.heard_at === undefined ? null : -peer.heard_at) },
];

const order = signal({ key: "status", descending: false });
const rowsShown = signal(ROWS_FIRST);
setTimeout(() => { rowsShown.value = Math.max(rowsShown.value, ROWS_STEP); }, FIRST_MS);

/** Sorted by `key`, then by region and id, so that rows keep their order; unknown values last. */
export function sortPeers(list, { key, descending }) {
  const { of } = COLUMNS.find((column) => column.key === key);
  const sign = descending ? -1 : 1;
  const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  return list
    .map((peer) => [of(peer), peer])
    .sort(([a, p], [b, q]) => {
      if ((a === null) !== (b === null)) return a === null ? 1 : -1;
      return sign * compare(a, b) || compare(p.place, q.place) || compare(p.peer_id, q.peer_id);
    })
    .map(([, peer]) => peer);
}

const listed = computed(() => {
  const wanted = matching.value;
  const list = [...peers.value.values()].filter((peer) => wanted === null || wanted.has(peer.peer_id));
  return sortPeers(list, order.value);
});

export function Peers() {
  const rows = listed.value;
  const body = useRef();
  const shown = rows.slice(0, rowsShown.value);
  return html`<section class="peers" aria-label="Peers">
    <${Filters} found=${rows.length} />
    <div class="scroll">
      <table>
        <thead><tr>${COLUMNS.map((column) => html`<${Heading} key=${column.key} column=${column} />`)}</tr></thead>
        <tbody ref=${body} onKeyDown=${moveFocus}>
          ${shown.map((peer) => html`<${Row} key=${peer.peer_id} peer=${peer} selected=${selected.value === peer.peer_id} />`)}
        </tbody>
      </table>
      ${rows.length > shown.length && html`<button class="more" onClick=${() => { rowsShown.value += ROWS_STEP; }}>
        ${rows.length - shown.length} more; show the next ${Math.min(ROWS_STEP, rows.length - shown.length)}</button>`}
      ${rows.length === 0 && peers.value.size > 0 && html`<p class="none">No peer matches.
        <button class="link" onClick=${clearFilters}>Show all ${peers.value.size}</button></p>`}
    </div>
  </section>`;
}

function Filters({ found }) {
  const totals = perStatus.value;
  const wanted = statusFilter.value;
  return html`<div class="filters">
    <div class="search">
      <input type="search" placeholder="Search id, region, version, address" aria-label="Search peers" spellcheck="false"
        autocomplete="off" value=${search.value} onInput=${(event) => { search.value = event.target.value; }} />
      <span class="muted" aria-live="polite">${matching.value === null ? `${found}` : `${found} of ${peers.value.size}`}</span>
    </div>
    <div class="chips" role="group" aria-label="Filter by status">
      ${STATUSES.filter((status) => totals[status] > 0 || wanted.has(status)).map((status) => html`
        <button key=${status} class="chip" aria-pressed=${String(wanted.has(status))} onClick=${() => toggleStatus(status)}>
          <${Glyph} status=${status} />${status} <span class="muted">${totals[status]}</span></button>`)}
      ${matching.value !== null && html`<button class="chip clear" onClick=${clearFilters}>clear</button>`}
    </div>
  </div>`;
}

function Heading({ column }) {
  const { key, descending } = order.value;
  const sorted = key === column.key;
  const state = sorted ? (descending ? "descending" : "ascending") : "none";
  const sort = () => { order.value = { key: column.key, descending: sorted && !descending }; };
  return html`<th scope="col" aria-sort=${state} class=${column.number ? "number" : null}>
    <button onClick=${sort} title=${column.hint ?? null}>${column.title}<i aria-hidden="true">${sorted ? (descending ? "▾" : "▴") : ""}</i></button>
  </th>`;
}

/** Drawn again only when its peer changed, as a delta about one peer must not redraw a thousand rows. */
class Row extends Component {
  shouldComponentUpdate(next) {
    return next.peer !== this.props.peer || next.selected !== this.props.selected;
  }

  render({ peer, selected: isSelected }) {
    const id = peer.peer_id;
    return html`<tr tabindex="0" data-testid=${`peer-row-${id}`} data-peer=${id} data-status=${peer.status}
        data-verdict=${verdictOf(peer)} aria-current=${isSelected ? "true" : null}
        onClick=${() => { selected.value = id; }}
        onMouseEnter=${() => { hovered.value = id; }} onMouseLeave=${() => { hovered.value = null; }}>
      <td><${Glyph} status=${peer.status} /> <code title=${id}>${peer.shown}</code></td>
      <td class="clip" title=${peer.place}>${peer.place || "–"}</td>
      <td class=${`word ${peer.status}`}>${peer.status}</td>
      <td class=${`verdict ${verdictOf(peer)}`} title=${verdictWords(peer)}>${verdictOf(peer)}</td>
      <td class="number">${latency(peer.rtt_s)}</td>
      <td class="number"><${Age} peer=${peer} /></td>
    </tr>`;
  }
}

function Age({ peer }) {
  void now.value; // ages
  return age(ageOf(peer));
}

function moveFocus(event) {
  const row = event.target.closest("tr");
  if (!row) return;
  const focus = (to) => {
    event.preventDefault();
    to?.focus();
  };
  switch (event.key) {
    case "Enter":
    case " ":
      event.preventDefault();
      selected.value = row.dataset.peer;
      break;
    case "ArrowDown": return focus(row.nextElementSibling);
    case "ArrowUp": return focus(row.previousElementSibling);
    case "Home": return focus(row.parentElement.firstElementChild);
    case "End": return focus(row.parentElement.lastElementChild);
  }
}
