// The search field: a combobox with a list of what was found, by keyboard or pointer.

import { search } from "/page/server.js";
import { element } from "/page/lists.js";

const PAUSE = 120; // milliseconds after the last letter
const SHOWN = 8;

/** Make the field search. words(): of the language now. onAdd(item), onError(error), tell(text): callbacks. */
export function makeSearch(field, list, words, onAdd, onError, tell) {
  let timer, request, items = [], active = -1;

  function close() {
    list.hidden = true;
    active = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function choose(place) {
    onAdd(items[place]);
    field.value = "";
    items = [];
    close();
    field.focus();
  }

  function mark(place) {
    active = place;
    [...list.children].forEach((row, at) => row.setAttribute("aria-selected", String(at === place)));
    if (place < 0) return field.removeAttribute("aria-activedescendant");
    field.setAttribute("aria-activedescendant", `found-${place}`);
    return list.children[place].scrollIntoView({ block: "nearest" });
  }

  function draw() {
    const near = items.length > 0 && items.every((item) => item.match === "similar");
    const rows = items.map((item, place) =>
      element("li", {
        id: `found-${place}`,
        role: "option",
        "aria-selected": "false",
        dir: "auto",
        text: near ? words()("maybe", item.title) : item.title,
        on: { mousedown: (event) => event.preventDefault(), click: () => choose(place) },
      }),
    );
    if (!rows.length) rows.push(element("li", { class: "none", role: "option", "aria-disabled": "true", text: words()("nothing") }));
    list.replaceChildren(...rows);
    list.hidden = false;
    field.setAttribute("aria-expanded", "true");
    mark(-1);
    tell(words()("found", items.length));
  }

  async function look() {
    request?.abort();
    const text = field.value.trim();
    if (!text) return close();
    request = new AbortController();
    try {
      items = (await search(text, SHOWN, request.signal)).items;
      return draw();
    } catch (error) {
      return error.name === "AbortError" ? undefined : onError(error);
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, PAUSE);
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return close();
    if (event.isComposing || list.hidden || !items.length) return undefined;
    if (event.key === "ArrowDown") mark((active + 1) % items.length);
    else if (event.key === "ArrowUp") mark((active - 1 + items.length) % items.length);
    else if (event.key === "Enter") choose(Math.max(active, 0));
    else return undefined;
    return event.preventDefault();
  });
  field.addEventListener("blur", close);
}
