// A text with a copy button: ids, tickets and commands.

import { html, useEffect, useRef, useState } from "./vendor/preact.js";

/** Copy, and return whether it worked. The clipboard API needs https or localhost, which a dashboard on a LAN lacks. */
async function copy(text, element) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

/** The whole `text` for the clipboard; the style sheet shortens what does not fit. */
export function Copyable({ text, label, wrap = false }) {
  const code = useRef();
  const timer = useRef();
  const [state, setState] = useState("copy");
  useEffect(() => () => clearTimeout(timer.current), []);
  const click = async () => {
    setState((await copy(text, code.current)) ? "copied" : "select and copy");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setState("copy"), 1600);
  };
  return html`<span class="copyable ${wrap ? "wrap" : ""}">
    <code ref=${code} title=${text}>${text}</code>
    <button class="link" onClick=${click} aria-label=${`Copy ${label}`}><span aria-live="polite">${state}</span></button>
  </span>`;
}
