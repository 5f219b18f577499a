// Orders from the page: acknowledgements and silences.

import { html, signal, useRef } from "./vendor/preact.js";
import { simulation, trouble, wall } from "./state.js";
import { duration, plain } from "./format.js";
import { order } from "./session.js";

const AUTHOR = "peerscope.author";
const LENGTHS = [[3600, "1 hour"], [14_400, "4 hours"], [86_400, "1 day"], [604_800, "1 week"]];

/** {key, kind} of the open form; kind is silence or acknowledge. */
const writing = signal(null);
const refusal = signal(null);
const isSending = signal(false);

function author() {
  try {
    return localStorage.getItem(AUTHOR) ?? "";
  } catch {
    return ""; // storage may be switched off
  }
}

function remember(name) {
  try {
    localStorage.setItem(AUTHOR, name);
  } catch {
    // see above
  }
}

/** Send an order, which the feed then shows. True if the agent accepted it. */
async function send(method, path, body) {
  isSending.value = true;
  refusal.value = null;
  try {
    await order(method, path, body);
    return true;
  } catch (error) {
    refusal.value = plain(error.message, 200);
    return false;
  } finally {
    isSending.value = false;
  }
}

/** Buttons that open a form for an alert or incident. */
export function OrderButtons({ of }) {
  if (simulation.value !== null) return html`<span class="muted">Simulated: there are no notifications to silence.</span>`;
  const button = (kind, title) => html`<button class="tool" aria-expanded=${String(writing.value?.key === of.id && writing.value.kind === kind)}
    onClick=${() => { refusal.value = null; writing.value = writing.value?.key === of.id && writing.value.kind === kind ? null : { key: of.id, kind }; }}>${title}</button>`;
  return html`${!of.acknowledged_by && button("acknowledge", "Acknowledge…")}${!of.silenced_by && button("silence", "Silence…")}`;
}

/** The open form about `of`; `choices`: [matcher, words] for a silence. */
export function Order({ of, choices }) {
  const form = useRef();
  if (writing.value?.key !== of.id) return null;
  const isSilence = writing.value.kind === "silence";
  const submit = async (event) => {
    event.preventDefault();
    const given = Object.fromEntries([...new FormData(form.current)].map(([name, value]) => [name, String(value).trim()]));
    remember(given.author);
    const taken = isSilence
      ? await send("POST", "silences", { matchers: [given.matcher], for_s: Number(given.for_s), author: given.author, reason: given.reason })
      : await send("POST", "acknowledgements", { key: of.id, author: given.author, reason: given.reason });
    if (taken) writing.value = null;
  };
  return html`<form class="order" ref=${form} onSubmit=${submit} data-testid="order">
    ${isSilence && html`
      <label>Silence <select class="tool" name="matcher">${choices.map(([matcher, words]) => html`<option key=${matcher} value=${matcher}>${words}</option>`)}</select></label>
      <label>for <select class="tool" name="for_s">${LENGTHS.map(([seconds, words]) => html`<option key=${seconds} value=${seconds}>${words}</option>`)}</select></label>`}
    <label>you <input name="author" required maxlength="64" defaultValue=${author()} autocomplete="off" placeholder="name" /></label>
    <label class="wide-field">why <input name="reason" required=${isSilence} maxlength="160" autocomplete="off" placeholder=${isSilence ? "maintenance until noon" : "optional"} /></label>
    <button class="tool go" type="submit" disabled=${isSending.value}>${isSilence ? "Silence" : "Acknowledge"}</button>
    ${refusal.value && html`<p class="refusal" role="alert">${refusal.value}</p>`}
  </form>`;
}

export function Silences() {
  const { silences } = trouble.value;
  if (silences.length === 0) return html`<div class="empty small"><h3>No silence</h3>
    <p>A silence holds back notifications in the whole network until it ends. The alerts stay visible. Start one at an alert or incident.</p></div>`;
  return html`<div class="scroll-x"><table class="plain-table" data-testid="silences"><thead><tr><th>About</th><th>Holds</th><th>By</th><th>Why</th><th></th></tr></thead>
    <tbody>${silences.map(({ id, matchers, begun_at: begin, ends_at: end, author: by, reason, windows, repeats, zone }) => html`<tr key=${id}>
      <td><code>${matchers.map(([field, value]) => `${plain(field, 16)}=${shortened(value)}`).join(" ")}</code></td>
      <td>${windows?.length > 0 && begin > wall() ? `in ${duration(begin - wall())}, for ${duration(end - begin)}` : `for ${duration(end - wall())}`}${
        repeats && html`<br /><span class="muted" title=${plain(zone, 64)}>repeats: ${plain(repeats, 80)}</span>`}</td><td>${plain(by, 32)}</td><td>${plain(reason, 80)}</td>
      <td><button class="tool" disabled=${isSending.value} onClick=${() => send("DELETE", `silences/${encodeURIComponent(id)}`)}>End it</button></td></tr>`)}</tbody></table></div>
    ${refusal.value && html`<p class="refusal" role="alert">${refusal.value}</p>`}`;
}

/** Shorten full ids. */
function shortened(value) {
  return plain(String(value).replace(/\b[0-9a-f]{16,64}\b/g, (id) => `${id.slice(0, 10)}…`), 60);
}
