// The last hour from `GET replay`, and the network at one time in it. Pure functions.
//
// Times without a change between them get the same objects, so that the page draws nothing again.

const REF_DIGITS = 16;

/** A recording, from an answer of the API. */
export function recordingOf(answer) {
  const names = answer.names.map(String);
  const refs = names.map((name) => (name.includes(":") ? name : name.slice(0, REF_DIGITS)));
  return { ...answer, names, refs, made: { statuses: {}, links: {} } };
}

/** Number of `changes` until this second. */
export function passed(changes, seconds) {
  let low = 0;
  let high = changes.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (changes[middle][0] <= seconds) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Map of peer id to status at this Unix second. */
export function statusesAt(recording, at) {
  const changes = recording.status_changes;
  return made(recording.made.statuses, passed(changes, at - recording.since), (upto) => {
    const found = new Map(recording.peers.map(([peer, status]) => [recording.names[peer], recording.statuses[status]]));
    for (const [, peer, status] of changes.slice(0, upto)) found.set(recording.names[peer], recording.statuses[status]);
    return found;
  });
}

/** Links at this Unix second, as in the feed but without measurements. */
export function linksAt(recording, at) {
  const changes = recording.link_changes;
  return made(recording.made.links, passed(changes, at - recording.since), (upto) => {
    const found = new Map();
    const put = (source, target, layer) => found.set(`${source} ${target} ${layer}`, {
      source: recording.refs[source], target: recording.refs[target], layer: recording.layers[layer],
    });
    for (const link of recording.links) put(...link);
    for (const [, source, target, layer, up] of changes.slice(0, upto)) {
      if (up) put(source, target, layer);
      else found.delete(`${source} ${target} ${layer}`);
    }
    return found;
  });
}

/** Alerts that fired at this Unix second, by id. */
export function alertsAt(recording, at) {
  const firing = recording.alerts.filter(({ started_at: from, resolved_at: to }) => from <= at && (to === undefined || to > at));
  return new Map(firing.map((alert) => [alert.id, { ...alert, state: "firing" }]));
}

/** Changes on the time bar: [{share, status}], the worst of each of `steps` parts. */
export function marks(recording, urgency, steps = 120) {
  const span = recording.until - recording.since || 1;
  const found = new Map();
  for (const [seconds, , status] of recording.status_changes) {
    const name = recording.statuses[status];
    const step = Math.min(steps - 1, Math.floor((seconds / span) * steps));
    if (!(name in urgency)) continue;
    if (!found.has(step) || urgency[name] < urgency[found.get(step)]) found.set(step, name);
  }
  return [...found].map(([step, status]) => ({ share: (step + 0.5) / steps, status }));
}

function made(cache, upto, make) {
  if (cache.upto !== upto) Object.assign(cache, { upto, value: make(upto) });
  return cache.value;
}
