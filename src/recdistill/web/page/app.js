// The page: a history is built, and popularity, plain and distilled student answer side by side.

import { drawHistory, takeDrops, weigh } from "/page/history.js";
import { column, element } from "/page/lists.js";
import { makeSearch } from "/page/search.js";
import * as server from "/page/server.js";
import { SIZES, readState, writeState } from "/page/state.js";
import { wordsOf } from "/page/words.js";

const REASONS = 3;
const ORDER = ["distilled", "student", "popularity"];
const byId = (id) => document.getElementById(id);
const titles = new Map();
let state = readState(location.hash);
let words = wordsOf(state.language);
let about = null;
let examples = [];
let lists = {};
let request = null;

const tell = (text) => (byId("status").textContent = text);

function complain(error) {
  const alert = byId("alert");
  const wanted = error.status === 401;
  alert.textContent = wanted ? words("key_wanted") : error.message || words("failed");
  alert.hidden = false;
  byId("key").hidden = !wanted;
}

function say() {
  document.documentElement.lang = state.language;
  for (const one of document.querySelectorAll("[data-words]")) one.textContent = words(one.dataset.words);
  const other = state.language === "ja" ? "en" : "ja";
  byId("language").textContent = words("language");
  byId("language").lang = other;
  if (about) {
    const { name, fingerprint } = about.bundle;
    byId("bundle").textContent = words("bundle", name, fingerprint, about.num_items.toLocaleString(state.language));
  }
  const chosen = examples.map((one, place) => element("option", { value: place, text: words("example_name", place + 1, one.history.length) }));
  byId("example").replaceChildren(element("option", { value: -1, text: words("example_none") }), ...chosen);
  byId("example").value = String(state.example);
}

const named = (id) => ({ item_id: id, title: titles.get(id) ?? id });

function drawLists() {
  const example = examples[state.example];
  const all = { ...lists, ...(example ? { teacher: { items: example.teacher.slice(0, state.topK) } } : {}) };
  const shown = [...ORDER, "teacher"].filter((model) => all[model]);
  const point = (because) => weigh(byId("history"), because);
  const held = document.activeElement?.closest?.("#columns li");
  const columns = shown.map((model) => column(model, all, words, example?.next.item_id ?? null, add, point));
  const place = held && [held.closest("article").dataset.model, held.dataset.id];
  byId("columns").replaceChildren(...columns);
  if (place) document.querySelector(`[data-model="${place[0]}"] li[data-id="${CSS.escape(place[1])}"] button`)?.focus();
}

function draw() {
  say();
  byId("top-k").value = String(state.topK);
  drawHistory(byId("history"), state.history.map(named), words, move, remove);
  byId("clear").disabled = state.history.length === 0;
  drawLists();
}

async function refresh() {
  writeState(state);
  draw();
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  const { history, topK } = state;
  try {
    const asked = ORDER.filter((model) => about.models.includes(model));
    for (const model of asked) lists[model] = await server.recommend(model, history, topK, 0, signal);
    byId("alert").hidden = true;
    const unknown = lists[asked[0]]?.unknown ?? [];
    if (unknown.length) complain(new Error(words("unknown", unknown.join(", "))));
    drawLists();
    await explain(history, topK, signal);
  } catch (error) {
    if (error.name !== "AbortError") complain(error);
  }
}

// Reasons cost one more row per item of the history, so they come after what they explain.
async function explain(history, topK, signal) {
  if (!history.length) return;
  for (const model of ["student", "distilled"].filter((one) => lists[one])) {
    const { items } = await server.recommend(model, history, topK, REASONS, signal);
    const because = new Map(items.map((item) => [item.item_id, item.because]));
    for (const item of lists[model].items) item.because = because.get(item.item_id) ?? [];
  }
  drawLists();
}

function change(history, told, example = -1) {
  state = { ...state, history, example };
  tell(told);
  return refresh();
}

function add(item, place = state.history.length) {
  titles.set(item.item_id, item.title);
  const history = [...state.history];
  history.splice(place, 0, item.item_id);
  return change(history, words("added", item.title));
}

function remove(place) {
  const { title } = named(state.history[place]);
  change(state.history.filter((_, at) => at !== place), words("removed", title));
  (byId("history").children[Math.min(place, state.history.length - 1)]?.querySelector(".remove") ?? byId("search")).focus();
}

function move(from, to) {
  const history = [...state.history];
  const [id] = history.splice(from, 1);
  history.splice(to, 0, id);
  change(history, words("moved", named(id).title, to + 1));
  const row = byId("history").children[to];
  (row?.querySelector(from < to ? ".down:enabled" : ".up:enabled") ?? row?.querySelector(".remove"))?.focus();
}

function choose(place) {
  const example = examples[place];
  for (const item of example ? [...example.history, example.next, ...example.teacher] : []) titles.set(item.item_id, item.title);
  return change(example ? example.history.map((item) => item.item_id) : [], "", example ? place : -1);
}

function speak(language) {
  state = { ...state, language };
  words = wordsOf(language);
  writeState(state);
  draw();
}

async function nameHistory() {
  const unnamed = state.history.filter((id) => !titles.has(id));
  if (!unnamed.length) return;
  for (const item of (await server.named(unnamed)).items) titles.set(item.item_id, item.title);
}

async function start() {
  try {
    about = await server.about();
    byId("key").hidden = byId("alert").hidden = true;
    examples = about.examples ? (await server.examples()).examples : [];
    byId("example-row").hidden = !examples.length;
    if (state.example >= examples.length) state.example = -1;
    if (state.example >= 0 && !state.history.length) await choose(state.example);
    await nameHistory();
    await refresh();
  } catch (error) {
    complain(error);
  }
}

byId("language").addEventListener("click", () => speak(state.language === "ja" ? "en" : "ja"));
byId("clear").addEventListener("click", () => {
  change([], words("empty"));
  byId("search").focus();
});
byId("top-k").addEventListener("change", (event) => {
  state.topK = SIZES.includes(Number(event.target.value)) ? Number(event.target.value) : state.topK;
  refresh();
});
byId("example").addEventListener("change", (event) => choose(Number(event.target.value)));
byId("key").addEventListener("submit", (event) => {
  event.preventDefault();
  server.keepKey(byId("key-field").value);
  start();
});
window.addEventListener("hashchange", async () => {
  state = readState(location.hash);
  words = wordsOf(state.language);
  await nameHistory();
  refresh();
});
makeSearch(byId("search"), byId("found"), () => words, add, complain, tell);
takeDrops(byId("build"), byId("history"), move, add);
say();
start();
