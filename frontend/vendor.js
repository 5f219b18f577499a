// Everything the dashboard's components need, as one module, so that a page load is one request
// and there is exactly one copy of preact for signals and hooks to hook into.
import { h } from "preact";
import htm from "htm";

export { Component, Fragment, render } from "preact";
export { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);
