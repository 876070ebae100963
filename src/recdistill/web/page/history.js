// The history: an ordered list that is changed by buttons or by dragging.

import { element } from "/page/lists.js";

/**
 * Draw the history into `list`.
 *
 * items: [{item_id, title}], oldest first. words: of the language. onMove(from, to), onRemove(place): called on change.
 */
export function drawHistory(list, items, words, onMove, onRemove) {
  list.replaceChildren(...items.map((item, place) => row(item, place, items.length, words, onMove, onRemove)));
}

function row(item, place, count, words, onMove, onRemove) {
  const button = (name, sign, disabled, click) =>
    element("button", { type: "button", class: name, text: sign, "aria-label": words(name, item.title), disabled: disabled && "", on: { click } });
  return element("li", {
    "data-id": item.item_id,
    "data-place": place,
    draggable: "true",
    children: [
      element("span", { class: "title", text: item.title, dir: "auto" }),
      button("up", "↑", place === 0, () => onMove(place, place - 1)),
      button("down", "↓", place === count - 1, () => onMove(place, place + 1)),
      button("remove", "×", false, () => onRemove(place)),
    ],
    on: { dragstart: (event) => event.dataTransfer.setData("text/plain", JSON.stringify({ from: place })) },
  });
}

/** Let items be dropped on the history: its own ones to reorder it, those of the lists to add them. */
export function takeDrops(zone, list, onMove, onAdd) {
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    let dropped;
    try {
      dropped = JSON.parse(event.dataTransfer.getData("text/plain"));
    } catch {
      return; // Something else of the desktop's.
    }
    const under = event.target.closest?.("li[data-place]");
    const place = under && list.contains(under) ? Number(under.dataset.place) : list.children.length;
    if (Number.isInteger(dropped?.from)) onMove(dropped.from, Math.min(place, list.children.length - 1));
    else if (typeof dropped?.add === "string") onAdd({ item_id: dropped.add, title: String(dropped.title) }, place);
  });
}

/** Show by how much each item of the history weighs in what is pointed at. */
export function weigh(list, because) {
  const weights = new Map(because.map((one) => [one.item_id, one.weight]));
  for (const row of list.children) {
    const weight = weights.get(row.dataset.id);
    row.classList.toggle("reason", weight > 0);
    row.classList.toggle("against", weight < 0);
  }
}
