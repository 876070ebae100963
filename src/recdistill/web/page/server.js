// Requests to the server. What it answers is data: nothing of it is ever read as markup.

const KEY = "recdistill-key";

/** An answer that is an error; `status` is 0 where the server cannot be reached. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Keep the API key until the tab is closed. */
export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const started = performance.now();
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, "");
  }
  const body = await answer.json();
  if (!answer.ok) throw new Refused(answer.status, body.detail);
  const model = /dur=([\d.]+)/.exec(answer.headers.get("Server-Timing") ?? "");
  return { ...body, seconds: (performance.now() - started) / 1000, modelSeconds: model ? Number(model[1]) / 1000 : null };
}

export const about = () => ask("/v1/about");
export const examples = () => ask("/v1/examples");

/** Items that a text may mean. */
export function search(text, limit, signal) {
  return ask(`/v1/items?${new URLSearchParams({ query: text, limit })}`, { signal });
}

/** Titles of ids. */
export function named(ids) {
  return ask(`/v1/items?${new URLSearchParams(ids.map((id) => ["item_id", id]))}`);
}

/** A model's items after a history, with reasons where `because` says how many. */
export function recommend(model, history, topK, because, signal) {
  return ask("/v1/recommend", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model, history, top_k: topK, because, unknown: "skip" }),
    signal,
  });
}
