// The panels and their tabs.

import { html } from "./vendor/preact.js";
import { panel } from "./state.js";

export const PANELS = [
  ["topology", "Topology"],
  ["regions", "Regions"],
  ["latency", "Latency"],
  ["traffic", "Traffic"],
  ["alerts", "Alerts"],
];

export function isPanel(name) {
  return PANELS.some(([known]) => known === name);
}

export function Tabs() {
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = PANELS.findIndex(([name]) => name === panel.value);
    panel.value = PANELS[(at + step + PANELS.length) % PANELS.length][0];
    event.currentTarget.children[(at + step + PANELS.length) % PANELS.length].focus();
  };
  return html`<nav class="tabs" role="tablist" aria-label="Panels" onKeyDown=${move}>
    ${PANELS.map(([name, title]) => html`<button key=${name} role="tab" id=${`tab-${name}`} data-testid=${`tab-${name}`}
      aria-selected=${String(name === panel.value)} aria-controls=${`panel-${name}`} tabindex=${name === panel.value ? 0 : -1}
      onClick=${() => { panel.value = name; }}>${title}</button>`)}
  </nav>`;
}

/** A panel that covers the map; `title` and `note` say what it shows. */
export function Panel({ name, title, note, tools, children }) {
  return html`<section class="panel" id=${`panel-${name}`} role="tabpanel" aria-labelledby=${`tab-${name}`} data-testid=${`panel-${name}`}>
    <div class="panel-head"><div><h2>${title}</h2>${note && html`<p class="muted">${note}</p>`}</div>${tools}</div>
    ${children}
  </section>`;
}

/** One of a few values of a signal, as a row of buttons; `usual` stands for null. */
export function Choice({ of, value, label, usual }) {
  return html`<div class="choice" role="group" aria-label=${label}>${of.map(([name, title]) => html`
    <button key=${name} aria-pressed=${String((value.value ?? usual) === name)} onClick=${() => { value.value = name; }}>${title}</button>`)}</div>`;
}
