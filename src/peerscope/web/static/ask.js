// Repeated requests of open panels to the API, one at a time.

import { useEffect, useState } from "./vendor/preact.js";
import { get } from "./session.js";

/**
 * {value, error} of a GET below /api/v1, repeated every `everyMs` and when `path` changes. After an error, the value of
 * the last answer to the same path stays. A null path sends no request.
 */
export function useAnswer(path, everyMs) {
  const [state, setState] = useState({ path: null, value: null, error: null });
  useEffect(() => {
    if (path === null) return undefined;
    const abort = new AbortController();
    let timer = null;
    const ask = async () => {
      try {
        const value = await get(path, abort.signal);
        if (!abort.signal.aborted) setState({ path, value, error: null });
      } catch (error) {
        if (abort.signal.aborted) return;
        setState((before) => ({ path, value: before.path === path ? before.value : null, error }));
      }
      if (!abort.signal.aborted) timer = setTimeout(ask, everyMs);
    };
    ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs]);
  return state.path === path ? state : { value: null, error: null };
}
