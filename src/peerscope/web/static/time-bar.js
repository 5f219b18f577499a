// The replay of the last hour: a slider below the map, and a banner while the past is visible.

import { batch, effect, html, signal, useEffect } from "./vendor/preact.js";
import { URGENCY } from "./statuses.js";
import { instant, isPast, live, now, panel, recording, wall } from "./state.js";
import { clockTime, duration, plain } from "./format.js";
import { get } from "./session.js";
import { marks, recordingOf } from "./replay.js";

/** The replay of an hour takes a minute. */
const SPEED = 60;
const FRAME_MS = 200;
const STEP_S = 1;
const PANELS_OF_THEN = ["topology", "alerts"];

const isOpen = signal(false);
const isPlaying = signal(false);
const failure = signal(null);

export async function openTime() {
  isOpen.value = true;
  failure.value = null;
  try {
    const answer = await get("replay?since=1h");
    // Peers keep their present places while the past is visible.
    recording.value = { ...recordingOf(answer), peersNow: live.peers.value, linksNow: live.links.value };
  } catch (error) {
    failure.value = plain(error.message, 120);
  }
}

export function backToNow() {
  batch(() => {
    instant.value = null;
    isPlaying.value = false;
    isOpen.value = false;
    recording.value = null;
  });
}

/** Show the network as it was at this Unix second. */
export function goTo(at) {
  const { since, until } = recording.value;
  instant.value = Math.min(until, Math.max(since, at));
}

effect(() => {
  if (!isPlaying.value) return undefined;
  const timer = setInterval(() => {
    goTo((instant.peek() ?? recording.peek().since) + (SPEED * FRAME_MS) / 1000);
    if (instant.peek() >= recording.peek().until) isPlaying.value = false;
  }, FRAME_MS);
  return () => clearInterval(timer);
});

/** A banner while the past is visible. */
export function Then() {
  if (!isPast.value) return null;
  void now.value; // ages
  return html`<div class="then" data-testid="then" role="status"><strong>THE PAST</strong>
    <span>${clockTime(instant.value)}, ${duration(wall() - instant.value)} ago${PANELS_OF_THEN.includes(panel.value) ? "" : "; this panel shows the present"}</span>
    <button class="link" onClick=${backToNow}>Back to now</button></div>`;
}

export function TimeBar() {
  useEffect(() => backToNow, []);
  if (!isOpen.value) return null;
  const known = recording.value;
  if (known === null) return html`<div class="time-bar" data-testid="time-bar"><span class="muted">${failure.value ?? "Loading the last hour…"}</span>
    <span class="filler"></span><button class="tool" onClick=${backToNow}>close</button></div>`;
  const at = instant.value ?? known.until;
  const play = () => {
    if (!isPlaying.value && at >= known.until - STEP_S) goTo(known.since);
    isPlaying.value = !isPlaying.value;
  };
  const slide = (event) => {
    isPlaying.value = false;
    goTo(Number(event.target.value));
  };
  return html`<div class="time-bar" data-testid="time-bar">
    <button class="tool" onClick=${play} aria-label=${isPlaying.value ? "Pause" : "Play the last hour"} title="An hour in a minute">${isPlaying.value ? "❚❚" : "▶"}</button>
    <span class="muted" title=${known.until - known.since < 3540 ? "This agent has no older data" : null}>−${duration(known.until - known.since)}</span>
    <div class="track">
      <svg viewBox="0 0 1000 28" preserveAspectRatio="none" aria-hidden="true">${marks(known, URGENCY).map(({ share, status }) => html`
        <line key=${share} class=${status} x1=${share * 1000} x2=${share * 1000} y1="2" y2="26" stroke-width="4" />`)}</svg>
      <input type="range" data-testid="time-slider" aria-label="Moment in the last hour" aria-valuetext=${clockTime(at)}
        min=${known.since} max=${known.until} step=${STEP_S} value=${at} onInput=${slide} />
    </div>
    <output>${clockTime(at)}</output>
    <button class="tool" onClick=${backToNow}>back to now</button>
  </div>`;
}
