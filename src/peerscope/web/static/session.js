// The address of the API and the token.
//
// The token comes in the fragment (`/#token=...`), which browsers do not send to servers. The page
// removes it from the address bar at once, so that no bookmark or screenshot has it.
// `sessionStorage` keeps it for reloads of this tab.

import { signal } from "./vendor/preact.js";

const KEY = "peerscope.token";

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage may be switched off; then the token is lost on reload
  }
}

export const token = signal(stored());

export function useToken(value) {
  token.value = value || null;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // see stored()
  }
}

/** Read `#token=...&panel=...&peer=...&alert=...`; returns all but the token, which it removes from the bar. */
export function readFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has("token")) {
    useToken(fragment.get("token"));
    fragment.delete("token");
    showFragment(fragment.toString());
  }
  return { panel: fragment.get("panel"), peer: fragment.get("peer"), alert: fragment.get("alert") };
}

/** Put the open panel, peer and linked alert in the address bar, so that the address can be shared. */
export function remember(open) {
  const known = Object.entries(open).filter(([, value]) => value);
  showFragment(new URLSearchParams(known).toString());
}

function showFragment(text) {
  history.replaceState(null, "", `${location.pathname}${location.search}${text ? `#${text}` : ""}`);
}

/** The address of the feed, below the same prefix of a reverse proxy as the page. */
export function feedAddress() {
  const address = new URL("dashboard", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  address.search = token.value ? `?token=${encodeURIComponent(token.value)}` : "";
  return address.href;
}

/** GET below /api/v1; rejects with an Error with `status` if the answer is not JSON or not 2xx. */
export async function get(path, abort) {
  return ask(path, { signal: abort });
}

/** Send an order; rejects as `get` does, with the agent's reason. */
export async function order(method, path, body) {
  return ask(path, { method, body: body && JSON.stringify(body) }, { "Content-Type": "application/json", "X-Peerscope": "1" });
}

async function ask(path, options, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  const answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), { headers, cache: "no-store", ...options });
  if (!answer.ok) {
    const detail = await answer.json().then((problem) => problem.detail, () => null);
    const error = new Error(detail || `the peer answered ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return answer.json();
}
