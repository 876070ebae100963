// What is shown, and its place in the address: #h=1,273&k=10&lang=ja&x=3. The part behind # is never sent to a server.

import { LANGUAGES } from "/page/words.js";

export const SIZES = [5, 10, 20];
const LONGEST = 200;

/** Read the address; what makes no sense in it is left out. */
export function readState(fragment) {
  const given = new URLSearchParams(fragment.replace(/^#/, ""));
  const wanted = given.get("lang") ?? navigator.language.slice(0, 2);
  const size = Number(given.get("k"));
  const example = /^\d+$/.test(given.get("x") ?? "") ? Number(given.get("x")) : -1;
  return {
    history: (given.get("h") ?? "").split(",").filter(Boolean).map(decoded).filter(Boolean).slice(0, LONGEST),
    topK: SIZES.includes(size) ? size : 10,
    language: LANGUAGES.includes(wanted) ? wanted : "en",
    example,
  };
}

/** Write the address, without a step in the browser's history. */
export function writeState(state) {
  const given = new URLSearchParams({ h: state.history.map(encodeURIComponent).join(","), k: state.topK, lang: state.language });
  if (state.example >= 0) given.set("x", state.example);
  history.replaceState(null, "", `#${given.toString().replaceAll("%2C", ",")}`);
}

// Ids are encoded twice, so that a comma within one does not end it.
function decoded(id) {
  try {
    return decodeURIComponent(id);
  } catch {
    return "";
  }
}
