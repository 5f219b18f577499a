// Verdicts in words, always with the evidence that carries them.

import { isNumber } from "./format.js";

const VERDICTS = ["alive", "suspect", "down", "partitioned", "left"];

export function verdictOf(peer) {
  return VERDICTS.includes(peer.verdict) ? peer.verdict : "unknown";
}

/** Short: "suspect, 2 of 8 observers". Nobody accuses an alive peer, so that is said alone. */
export function verdictWords(peer) {
  const verdict = verdictOf(peer);
  if (!isNumber(peer.accused_by) || peer.accused_by === 0) return verdict;
  return `${verdict}, ${peer.accused_by} of ${isNumber(peer.observers) ? peer.observers : "?"} observers`;
}

/** A sentence: what the network says of the peer and on whose word. */
export function verdictSentence(peer) {
  const observers = isNumber(peer.observers) ? peer.observers : null;
  if (isNumber(peer.accused_by) && peer.accused_by > 0) {
    return `Accused by ${peer.accused_by} of ${observers ?? "an unknown number of"} observers.`;
  }
  switch (verdictOf(peer)) {
    case "alive": return observers ? `Watched by ${observers} observers; none accuses it.` : "Nobody accuses it.";
    case "left": return "It said goodbye.";
    default: return "No accusation is known here.";
  }
}
