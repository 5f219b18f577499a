// Regions of a large network that the map draws as one bubble.

import { computed, signal } from "./vendor/preact.js";
import { nodes } from "./state.js";

/** With more nodes, regions are bubbles until the user opens them. */
export const OPEN_MAX = 3000;

/** Regions that the user opened. */
export const opened = signal(new Set());

export const isLarge = computed(() => nodes.value.size > OPEN_MAX);

/** Names of the regions that are bubbles now. */
export const closed = computed(() => {
  const names = new Set();
  if (!isLarge.value) return names;
  for (const node of nodes.value.values()) if (!opened.value.has(node.place)) names.add(node.place);
  return names;
});

export function open(name) {
  opened.value = new Set(opened.value).add(name);
}

export function openAll() {
  opened.value = new Set([...nodes.value.values()].map((node) => node.place));
}

export function closeAll() {
  opened.value = new Set();
}
