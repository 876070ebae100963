// The lists side by side: models, what changed between them, and reasons. All text goes in as text.

/** An element with text, attributes and children. */
export function element(name, { text, children = [], on = {}, ...attributes } = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) if (value !== false) made.setAttribute(key, value);
  for (const [event, handler] of Object.entries(on)) made.addEventListener(event, handler);
  made.append(...children);
  return made;
}

/** What became of an item between the plain student's list and the distilled one's: [kind, text, spoken text]. */
export function change(model, itemId, place, lists, words) {
  const placeIn = (name) => lists[name]?.items.findIndex((item) => item.item_id === itemId) ?? -1;
  if (model === "student" && lists.distilled && placeIn("distilled") < 0) return ["dropped", words("dropped"), ""];
  if (model !== "distilled" || !lists.student) return null;
  const before = placeIn("student");
  if (before < 0) return ["new", words("new"), ""];
  const by = before - place;
  if (by > 0) return ["up", words("up_by", by), words("up_by_words", by)];
  return by < 0 ? ["down", words("down_by", -by), words("down_by_words", -by)] : null;
}

/**
 * One column: heading, latency, the reasons' line, the list.
 *
 * model: its name. lists: all models' answers. words: of the language. next: id of what was chosen next, or null.
 * onAdd: called with an item. onPoint: called with the reasons of the item that is pointed at, or null.
 */
export function column(model, lists, words, next, onAdd, onPoint) {
  const answer = lists[model];
  const why = element("p", { class: "why", text: whyText(model, null, words) });
  const timed = answer.seconds === undefined ? "" : latency(answer, words);
  const heading = element("h3", { id: `title-${model}`, text: words(model) });
  const items = answer.items.map((item, place) => {
    const point = () => {
      why.textContent = whyText(model, item, words);
      onPoint(item.because ?? []);
    };
    const leave = () => {
      why.textContent = whyText(model, null, words);
      onPoint([]);
    };
    return row(model, item, place, lists, words, next, onAdd, point, leave);
  });
  return element("article", {
    class: "column",
    "data-model": model,
    "aria-labelledby": `title-${model}`,
    children: [
      heading,
      element("p", { class: "hint", text: words(`${model}_about`) }),
      element("p", { class: "latency", text: timed }),
      why,
      element("ol", { children: items }),
    ],
  });
}

function row(model, item, place, lists, words, next, onAdd, point, leave) {
  const changed = change(model, item.item_id, place, lists, words);
  const parts = [element("span", { class: "title", text: item.title, dir: "auto" })];
  if (changed) {
    const [kind, text, spoken] = changed;
    const mark = { class: `mark ${kind}`, text, title: spoken || false };
    parts.push(element("span", { ...mark, "aria-label": spoken || false, role: spoken ? "img" : false }));
  }
  if (next === item.item_id) parts.push(element("span", { class: "mark next", text: words("next") }));
  const button = element("button", {
    type: "button",
    class: "item",
    title: words("add", item.title),
    children: parts,
    on: { click: () => onAdd(item), focus: point, blur: leave },
  });
  return element("li", {
    class: changed ? changed[0] : "",
    "data-id": item.item_id,
    draggable: "true",
    children: [button],
    on: {
      pointerenter: point,
      pointerleave: leave,
      dragstart: (event) => event.dataTransfer.setData("text/plain", JSON.stringify({ add: item.item_id, title: item.title })),
    },
  });
}

function latency(answer, words) {
  const model = answer.modelSeconds === null ? "–" : (1000 * answer.modelSeconds).toFixed(2);
  return words("latency", model, (1000 * answer.seconds).toFixed(1));
}

function whyText(model, item, words) {
  if (model === "teacher") return words("because_teacher");
  if (model === "popularity") return words("because_all");
  if (!item?.because?.length) return words("because_none");
  const reasons = item.because.map((one) => `${one.title} (${one.weight >= 0 ? "+" : "−"}${Math.abs(one.weight).toFixed(2)})`);
  return words("because", reasons.join(", "));
}
