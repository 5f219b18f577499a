// Format numbers and names. Pure functions; a missing measurement is a dash, never 0.

export const DASH = "–";

// Control characters could break a line. Bidirectional overrides could make a hostile region or
// version look like other text.
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** Text from another peer in one safe line of at most `limit` characters. */
export function plain(text, limit = 64) {
  if (text === null || text === undefined) return "";
  const shown = String(text).replace(UNPRINTABLE, "");
  return shown.length > limit ? `${shown.slice(0, limit - 1)}…` : shown;
}

export function isNumber(value) {
  return typeof value === "number" && Number.isFinite(value);
}

export function count(value) {
  return isNumber(value) ? String(value) : DASH;
}

/** A number of things: 1 peer, 2 peers. */
export function counted(value, what) {
  return `${count(value)} ${value === 1 ? what : `${what}s`}`;
}

/** At most three significant digits, without the noise of floats: 0.1234 is 0.123, 1234.5 is 1235. */
export function decimal(value) {
  if (!isNumber(value)) return DASH;
  if (Math.abs(value) >= 100 || Number.isInteger(value)) return String(Math.round(value));
  return String(Number(value.toPrecision(3)));
}

export function percent(ratio) {
  if (!isNumber(ratio)) return DASH;
  const value = ratio * 100;
  // 99.96 % must not become 100 %, as an operator looks for the gap.
  if (value > 90 && value < 100) return `${Math.min(99.9, Math.floor(value * 10) / 10).toFixed(1)} %`;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${value < 10 ? decimal(Number(value.toFixed(1))) : Math.round(value)} %`;
}

/** A round trip or another short time, in a readable unit. */
export function latency(seconds) {
  if (!isNumber(seconds)) return DASH;
  const ms = seconds * 1000;
  if (ms < 1) return `${decimal(ms)} ms`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${decimal(seconds)} s`;
}

/** Milliseconds without the unit, for a table that shows it once. */
export function bareMs(seconds) {
  if (!isNumber(seconds)) return DASH;
  const ms = seconds * 1000;
  return ms < 9.95 ? ms.toFixed(1) : String(Math.round(ms));
}

/** A length of time: one unit up to a minute, two above, as 3 h 20 min. */
export function duration(seconds) {
  if (!isNumber(seconds)) return DASH;
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return pair(total, 60, "min", 1, "s", total >= 600);
  if (total < 86400) return pair(total, 3600, "h", 60, "min", false);
  return pair(total, 86400, "d", 3600, "h", total >= 864000);
}

function pair(total, big, bigName, small, smallName, coarse) {
  const rest = Math.floor((total % big) / small);
  const first = `${Math.floor(total / big)} ${bigName}`;
  return coarse || rest === 0 ? first : `${first} ${rest} ${smallName}`;
}

/** The same in one unit, for a narrow column. */
export function age(seconds) {
  if (!isNumber(seconds)) return DASH;
  const total = Math.max(0, Math.round(seconds));
  if (total < 60) return `${total} s`;
  if (total < 3600) return `${Math.floor(total / 60)} min`;
  if (total < 86400) return `${Math.floor(total / 3600)} h`;
  return `${Math.floor(total / 86400)} d`;
}

export function bytes(value) {
  if (!isNumber(value)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let scaled = value;
  let unit = 0;
  while (Math.abs(scaled) >= 1024 && unit < units.length - 1) {
    scaled /= 1024;
    unit += 1;
  }
  return `${decimal(scaled)} ${units[unit]}`;
}

export function clockTime(unixSeconds) {
  return isNumber(unixSeconds) ? new Date(unixSeconds * 1000).toLocaleTimeString() : DASH;
}

export function dateTime(unixSeconds) {
  return isNumber(unixSeconds) ? new Date(unixSeconds * 1000).toLocaleString() : DASH;
}

export function signedSeconds(seconds) {
  if (!isNumber(seconds)) return DASH;
  return `${seconds < 0 ? "−" : "+"}${latency(Math.abs(seconds))}`;
}

/** A metric's value in the unit at the end of its name: "_bytes_s" is bytes per second, "latency_s" a time. */
export function metric(name, value) {
  if (typeof value === "string") return plain(value, 120);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (!isNumber(value)) return DASH;
  if (/(^|_)ratio$/.test(name)) return percent(value);
  if (/(^|_)bytes(_per)?_s$/.test(name)) return `${bytes(value)}/s`;
  if (/(^|_)bytes$/.test(name)) return bytes(value);
  if (/(^|_)at$/.test(name)) return dateTime(value);
  if (/(uptime|age)_s$/.test(name)) return duration(value);
  if (/(^|_)(latency|lag|rtt)_s$/.test(name)) return latency(value);
  if (/_s$/.test(name)) return `${decimal(value)}/s`;
  return decimal(value);
}

/** The median, which one slow link does not move. */
export function median(values) {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
