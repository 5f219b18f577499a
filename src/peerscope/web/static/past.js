// The last hour of one peer as a strip. Taller and warmer means worse.

import { html } from "./vendor/preact.js";
import { STATUSES, knownStatus } from "./statuses.js";
import { clockTime, duration, isNumber } from "./format.js";

const HOUR_S = 3600;
const HEIGHTS = { healthy: 5, degraded: 10, unhealthy: 15, down: 20, unknown: 3, left: 2 };

/**
 * [{at, status}] to spans [{from, to, status}] within the hour before `end`. A status lasts until
 * the next one; before the first there is no data.
 */
export function spans(history, end) {
  const begin = end - HOUR_S;
  const sorted = history.filter(({ at }) => isNumber(at) && at <= end).sort((a, b) => a.at - b.at);
  const found = [];
  sorted.forEach(({ at, status }, i) => {
    const from = Math.max(begin, at);
    const to = i + 1 < sorted.length ? sorted[i + 1].at : end;
    const last = found.at(-1);
    if (to <= begin) return;
    if (last?.status === knownStatus(status)) last.to = to;
    else found.push({ from, to, status: knownStatus(status) });
  });
  return found;
}

export function Past({ history, end }) {
  if (!Array.isArray(history)) return html`<p class="muted">There is no data of the last hour.</p>`;
  const found = spans(history, end);
  if (found.length === 0) return html`<p class="muted">Nothing was recorded in the last hour.</p>`;
  const x = (time) => ((time - (end - HOUR_S)) / HOUR_S) * 360;
  const sums = STATUSES.map((status) => [status, found.filter((span) => span.status === status)
    .reduce((sum, span) => sum + span.to - span.from, 0)]).filter(([, seconds]) => seconds > 0);
  const words = sums.map(([status, seconds]) => `${status} ${duration(seconds)}`).join(", ");
  return html`<figure class="past">
    <svg viewBox="0 0 360 22" preserveAspectRatio="none" role="img" aria-label=${`Last hour: ${words}`}>
      <rect x="0" y="0" width="360" height="22" class="ground" />
      ${found.map(({ from, to, status }) => html`
        <rect key=${from} class=${status} x=${x(from)} width=${Math.max(1, x(to) - x(from))}
          y=${21 - HEIGHTS[status]} height=${HEIGHTS[status]}>
          <title>${`${status} from ${clockTime(from)} to ${clockTime(to)}`}</title></rect>`)}
    </svg>
    <figcaption><span>−60 min</span><span>${words}</span><span>now</span></figcaption>
  </figure>`;
}
