// Verdicts in words, with their evidence.

import { isNumber } from "./format.js";

const VERDICTS = ["alive", "suspect", "down", "partitioned", "left"];

export function verdictOf(peer) {
  return VERDICTS.includes(peer.verdict) ? peer.verdict : "unknown";
}

/** Short: "suspect, 2 of 8 observers", or "alive" without accusations. */
export function verdictWords(peer) {
  const verdict = verdictOf(peer);
  if (!isNumber(peer.accused_by) || peer.accused_by === 0) return verdict;
  return `${verdict}, ${peer.accused_by} of ${isNumber(peer.observers) ? peer.observers : "?"} observers`;
}

/** The verdict and its observers in a sentence. */
export function verdictSentence(peer) {
  const observers = isNumber(peer.observers) ? peer.observers : null;
  if (isNumber(peer.accused_by) && peer.accused_by > 0) {
    return `Accused by ${peer.accused_by} of ${observers ?? "an unknown number of"} observers.`;
  }
  switch (verdictOf(peer)) {
    case "alive": return observers ? `Monitored by ${observers} observers; none accuses it.` : "No observer accuses it.";
    case "left": return "It left the network.";
    default: return "No accusation is known here.";
  }
}
