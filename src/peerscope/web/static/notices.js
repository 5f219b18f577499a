// What the page says when there is no network to show, or when what it shows is old.

import { html, useRef } from "./vendor/preact.js";
import { Copyable } from "./copy.js";
import { feed, heardAt, me, now, peers } from "./state.js";
import { duration, plain } from "./format.js";
import { useToken } from "./session.js";

// A delta comes every few seconds; a live connection that is silent for longer deserves a word.
const QUIET_S = 20;

/** A banner above the last picture, for as long as it is not live. */
export function Stale({ retry }) {
  if (heardAt.value === null) return null;
  const { name, retryAt } = feed.value;
  const old = now.value - heardAt.value;
  if (name === "live" && old < QUIET_S) return null;
  if (name === "connecting" && old < 2) return null;
  const next = retryAt === null ? "" : ` Trying again in ${Math.max(1, Math.ceil(retryAt - now.value))} s.`;
  const text = name === "live"
    ? `Connected, but nothing was heard for ${duration(old)}.`
    : `Not connected. This is the network as it was ${duration(old)} ago.${next}`;
  return html`<div class="stale" data-testid="stale" role="status"><span>${text}</span>
    ${name === "waiting" && html`<button class="link" onClick=${retry}>Try now</button>`}</div>`;
}

/** Over the map: loading, a missing token, or the first and only peer. */
export function Welcome({ connect }) {
  if (feed.value.name === "refused") return html`<${TokenForm} connect=${connect} />`;
  if (heardAt.value === null) return html`<div class="card loading" data-testid="loading">
    <div class="pulse" aria-hidden="true"><i /><i /><i /></div>
    <h2>${feed.value.name === "waiting" ? "The peer does not answer" : "Asking the peer for its view"}</h2>
    <p class="muted">${feed.value.name === "waiting"
      ? "Is it running? The page connects by itself as soon as it is."
      : "The whole network, as this one peer knows it."}</p>
  </div>`;
  if (peers.value.size > 1) return null;
  const ticket = plain(me.value?.ticket, 4096);
  return html`<div class="card alone" data-testid="alone">
    <h2>One peer so far: this one</h2>
    <p>Start another anywhere and let it join. Each then watches the other, and any of them shows the whole network.</p>
    ${ticket ? html`<${Copyable} text=${`peerscope run --join ${ticket}`} label="command" wrap />`
      : html`<p class="muted">This peer has not told its ticket yet.</p>`}
  </div>`;
}

function TokenForm({ connect }) {
  const field = useRef();
  const submit = (event) => {
    event.preventDefault();
    useToken(field.current.value.trim());
    connect();
  };
  return html`<form class="card" data-testid="token-form" onSubmit=${submit}>
    <h2>This peer asks for a token</h2>
    <p class="muted">Open the page as <code>/#token=…</code>, or paste the token here. It is kept for this tab only.</p>
    <div class="row"><input type="password" ref=${field} aria-label="Token" autocomplete="off" autofocus />
      <button class="tool" type="submit">Connect</button></div>
  </form>`;
}
