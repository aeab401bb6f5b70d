// The list of photos and their verdicts: one of them is selected, by mouse, touch or arrow keys.

import { element } from "./dom.js";
import { stateOf, sentence } from "./words.js";

/** Fires "select" when another photo is selected and "remove" where one shall go, each with the photo as detail. */
export class List extends EventTarget {
  selected = null;
  #root;
  #photos;
  #entries = new Map();

  constructor(root, photos) {
    super();
    this.#root = root;
    this.#photos = photos;
    root.addEventListener("keydown", (event) => this.#key(event));
    photos.addEventListener("change", ({ detail }) => this.#changed(detail));
  }

  select(photo, focus = false) {
    const before = this.selected;
    this.selected = photo;
    for (const other of [before, photo]) if (other) this.#dress(other);
    if (focus && photo) this.#entries.get(photo)?.focus();
    if (before !== photo) this.dispatchEvent(new CustomEvent("select", { detail: photo }));
  }

  /** Moves the keyboard to the selected photo; false where there is none. */
  focus() {
    this.#entries.get(this.selected)?.focus();
    return this.selected !== null;
  }

  #changed(photo) {
    if (!this.#photos.items.includes(photo)) {
      this.#entries.get(photo)?.remove();
      this.#entries.delete(photo);
      if (this.selected === photo) this.select(this.#photos.items.at(-1) ?? null);
      return;
    }
    if (!this.#entries.has(photo)) this.#add(photo);
    this.#dress(photo);
  }

  #add(photo) {
    const entry = element("li", { id: photo.id, role: "option", onclick: () => this.select(photo) },
      element("img", { src: photo.url, alt: "" }),
      element("div", {}, element("b", { class: "name" }, photo.name), element("span", { class: "badge" }), element("span", { class: "quiet small words" })));
    entry.querySelector("img").addEventListener("error", (event) => event.target.classList.add("blank"));
    this.#entries.set(photo, entry);
    this.#root.append(entry);
  }

  #dress(photo) {
    const entry = this.#entries.get(photo);
    if (!entry) return;
    const { label, kind } = stateOf(photo);
    const chosen = photo === this.selected;
    entry.setAttribute("aria-selected", String(chosen));
    entry.tabIndex = chosen ? 0 : -1;
    const badge = entry.querySelector(".badge");
    badge.textContent = label;
    badge.dataset.kind = kind;
    entry.querySelector(".words").textContent = photo.state === "answered" ? "" : sentence(photo);
  }

  #key(event) {
    const items = this.#photos.items;
    const at = items.indexOf(this.selected);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined && items[to]) this.select(items[to], true);
    else if (event.key === "Delete" && this.selected) this.dispatchEvent(new CustomEvent("remove", { detail: this.selected }));
    else if (event.key === "Enter" && this.selected) document.getElementById("view").focus();
    else return;
    event.preventDefault();
  }
}
