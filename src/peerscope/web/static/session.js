// Where the API is and how we prove who we are.
//
// The token comes in the fragment (`/#token=...`), which browsers do not send to servers and
// which is taken out of the address bar at once: it must not end up in a bookmark, a screenshot or a
// proxy's log. sessionStorage keeps it for a reload of this tab and nothing longer.

import { signal } from "./vendor/preact.js";

const KEY = "peerscope.token";

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null; // storage may be switched off; the token then lives as long as the page
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

/** Read `#token=...&panel=...&peer=...`; returns what to open, and strips the token from the bar. */
export function readFragment() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has("token")) {
    useToken(fragment.get("token"));
    fragment.delete("token");
    showFragment(fragment.toString());
  }
  return { panel: fragment.get("panel"), peer: fragment.get("peer") };
}

/** Keep what is open in the address bar, so that a colleague can be sent straight to it. */
export function remember(open) {
  const known = Object.entries(open).filter(([, value]) => value);
  showFragment(new URLSearchParams(known).toString());
}

function showFragment(text) {
  history.replaceState(null, "", `${location.pathname}${location.search}${text ? `#${text}` : ""}`);
}

/** The feed beside this page, whatever prefix a reverse proxy put in front of both. */
export function feedAddress() {
  const address = new URL("dashboard", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.hash = "";
  address.search = token.value ? `?token=${encodeURIComponent(token.value)}` : "";
  return address.href;
}

/** GET below /api/v1; rejects with an Error that carries `status` when the answer is not JSON or not 2xx. */
export async function get(path, abort) {
  return ask(path, { signal: abort });
}

/** What changes something; rejects as `get` does, in the words of the agent. */
export async function order(method, path, body) {
  return ask(path, { method, body: body && JSON.stringify(body) }, { "Content-Type": "application/json", "X-Peerscope": "1" });
}

async function ask(path, options, more = {}) {
  const headers = { Accept: "application/json", ...more };
  if (token.value) headers.Authorization = `Bearer ${token.value}`;
  const answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), { headers, cache: "no-store", ...options });
  if (!answer.ok) {
    const detail = await answer.json().then((said) => said.detail, () => null);
    const error = new Error(detail || `the peer answered ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return answer.json();
}
