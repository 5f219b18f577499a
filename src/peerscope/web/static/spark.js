// A small line chart.

import { html } from "./vendor/preact.js";
import { isNumber } from "./format.js";

const WIDTH = 96;
const HEIGHT = 26;

/** `values`: oldest first, null where unknown. The scale begins at zero, so that a tenth looks like a tenth. */
export function Spark({ values: given, label }) {
  const values = given.slice(Math.max(0, given.findIndex(isNumber)));
  const known = values.filter(isNumber);
  if (known.length < 2) return null;
  const most = Math.max(...known) || 1;
  const least = Math.min(...known);
  // The lower half is left out if it is empty, so that small changes stay visible.
  const floor = least > most / 2 ? most / 2 : 0;
  const x = (i) => (i / (values.length - 1)) * WIDTH;
  const y = (value) => HEIGHT - 2 - ((value - floor) / (most - floor)) * (HEIGHT - 5);
  let path = "";
  values.forEach((value, i) => {
    if (!isNumber(value)) return;
    path += `${isNumber(values[i - 1]) ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label=${label}><title>${label}</title>
    <path d=${path} /></svg>`;
}
