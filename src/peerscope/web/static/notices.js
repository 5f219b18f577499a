// Notices when there is no network to show, or when the data is old.

import { html, useRef } from "./vendor/preact.js";
import { Copyable } from "./copy.js";
import { feed, heardAt, me, now, peers } from "./state.js";
import { duration, plain } from "./format.js";
import { useToken } from "./session.js";

// A delta arrives every few seconds. After this silence the page shows a notice.
const QUIET_S = 20;

/** A banner above old data. */
export function Stale({ retry }) {
  if (heardAt.value === null) return null;
  const { name, retryAt } = feed.value;
  const old = now.value - heardAt.value;
  if (name === "live" && old < QUIET_S) return null;
  if (name === "connecting" && old < 2) return null;
  const next = retryAt === null ? "" : ` Trying again in ${Math.max(1, Math.ceil(retryAt - now.value))} s.`;
  const text = name === "live"
    ? `Connected, but without a message for ${duration(old)}.`
    : `Not connected. This is the network ${duration(old)} ago.${next}`;
  return html`<div class="stale" data-testid="stale" role="status"><span>${text}</span>
    ${name === "waiting" && html`<button class="link" onClick=${retry}>Try now</button>`}</div>`;
}

/** Over the map: loading, a missing token, or the first and only peer. */
export function Welcome({ connect }) {
  if (feed.value.name === "refused") return html`<${TokenForm} connect=${connect} />`;
  if (heardAt.value === null) return html`<div class="card loading" data-testid="loading">
    <div class="pulse" aria-hidden="true"><i /><i /><i /></div>
    <h2>${feed.value.name === "waiting" ? "The peer does not answer" : "Connecting to the peer"}</h2>
    <p class="muted">${feed.value.name === "waiting"
      ? "Does it run? The page connects as soon as it does."
      : "It shows the whole network."}</p>
  </div>`;
  if (peers.value.size > 1) return null;
  const ticket = plain(me.value?.ticket, 4096);
  return html`<div class="card alone" data-testid="alone">
    <h2>One peer so far: this one</h2>
    <p>Start another one anywhere and let it join. Each peer monitors the other, and each shows the whole network.</p>
    ${ticket ? html`<${Copyable} text=${`peerscope run --join ${ticket}`} label="command" wrap />`
      : html`<p class="muted">This peer has not sent its ticket yet.</p>`}
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
    <h2>This peer requires a token</h2>
    <p class="muted">Open the page as <code>/#token=…</code>, or paste the token here. The page keeps it for this tab only.</p>
    <div class="row"><input type="password" ref=${field} aria-label="Token" autocomplete="off" autofocus />
      <button class="tool" type="submit">Connect</button></div>
  </form>`;
}
