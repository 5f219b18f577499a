// Severities: each has a shape, a colour, and a word for screen readers.

import { html } from "./vendor/preact.js";

/** The gravest first. */
export const SEVERITIES = ["critical", "high", "medium", "low"];

const SHAPES = {
  critical: "M-.48-1.15H.48L1.15-.48V.48L.48 1.15H-.48L-1.15.48V-.48Z M-.2-.72L-.11.2H.11L.2-.72Z M-.17.42H.17V.76H-.17Z",
  high: "M0-1.2L1.2 0L0 1.2L-1.2 0Z",
  medium: "M0-1.2L1.2 0L0 1.2L-1.2 0Z M0-.7L-.7 0H.7Z",
  low: "M0-.95L.95 0L0 .95L-.95 0Z M0-.5L-.5 0L0 .5L.5 0Z",
};

/** An unknown severity of a newer agent counts as medium. */
export function knownSeverity(severity) {
  return SEVERITIES.includes(severity) ? severity : "medium";
}

export function Severity({ of, label }) {
  const severity = knownSeverity(of);
  return html`<svg class="glyph severity ${severity}" viewBox="-1.2 -1.2 2.4 2.4" role=${label ? "img" : null}
      aria-label=${label ? severity : null} aria-hidden=${label ? null : "true"}>
    <path d=${SHAPES[severity]} class="filled" fill-rule="evenodd" /></svg>`;
}

/** Alerts or incidents by severity, then the newest first. */
export function gravestFirst(list) {
  return [...list].sort((a, b) => SEVERITIES.indexOf(knownSeverity(a.severity)) - SEVERITIES.indexOf(knownSeverity(b.severity))
    || b.started_at - a.started_at || (a.id < b.id ? -1 : 1));
}
