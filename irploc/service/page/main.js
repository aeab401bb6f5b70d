// Puts the page together: photos come in, one is selected, a view of it is shown.

import { element } from "./dom.js";
import { List } from "./list.js";
import { showNumbers } from "./numbers.js";
import { Photos } from "./photos.js";
import { chosenFields, description, fillChoosers, summaries } from "./places.js";
import { correctionWords, drawPlan } from "./plan.js";
import { plots } from "./plots.js";
import { drawSpace } from "./space.js";
import { onTheme } from "./theme.js";
import { sentence, stateOf } from "./words.js";

const byId = (id) => document.getElementById(id);
const photos = new Photos();
const list = new List(byId("list"), photos);
const tabs = [...byId("tabs").children];
const view = byId("view");
let tab = "numbers";
let homePlace = null; // shown while no photo is selected
let drawing = 0;

async function start() {
  try {
    const scenes = await summaries((words) => { byId("place").textContent = words; });
    if (!scenes.length) {
      byId("place").textContent = "This service has no places.";
      return;
    }
    byId("place").textContent = scenes.length === 1 ? `${scenes[0].name}: ${scenes[0].mapping_photos} mapping photos` : `${scenes.length} places`;
    fillChoosers(scenes, (name) => { homePlace = name; if (!list.selected) show(); });
    document.body.dataset.ready = "yes";
  } catch (error) {
    byId("place").textContent = error.message;
  }
}

function take(files) {
  const images = [...files];
  if (!images.length) return;
  const added = photos.add(images, chosenFields());
  list.select(added[0]);
}

/** Shows the selected photo, or the place itself, in the view whose tab is selected. */
async function show() {
  const mine = ++drawing;
  const isCurrent = () => mine === drawing;
  const photo = list.selected;
  showVerdict(photo);
  const name = photo?.answer?.scene ?? homePlace;
  let place = null;
  try {
    place = name ? await description(name) : null;
  } catch (error) {
    if (isCurrent()) note(error.message);
    return;
  }
  if (!isCurrent()) return;
  if (tab === "numbers") {
    clear();
    if (photo) showNumbers(view, photo, photo.answer ? place : null);
    else invite();
  } else if (place) {
    await draw(photo, place, isCurrent);
  }
}

async function draw(photo, place, isCurrent) {
  try {
    await plots();
  } catch (error) {
    if (isCurrent()) note(error.message);
    return;
  }
  if (!isCurrent()) return;
  if (!view.querySelector(".plot")) view.replaceChildren(element("p", { class: "quiet caption" }), element("div", { class: "plot" }));
  view.querySelector(".caption").textContent = captionOf(photo?.answer, place);
  const fresh = element("div", { class: "plot", role: "img", "aria-label": `${place.name}: ${captionOf(photo?.answer, place)}` });
  const old = view.querySelector(".plot");
  if (old.dataset.kind !== kindOf(tab)) {
    Plotly.purge(old);
    old.replaceWith(fresh);
    fresh.dataset.kind = kindOf(tab);
  }
  const plot = view.querySelector(".plot");
  try {
    if (tab === "space") await drawSpace(plot, photo?.answer, place, isCurrent);
    else await drawPlan(plot, photo, place, tab === "corrected", isCurrent);
    if (isCurrent()) plot.dataset.drawn = `${tab} ${photo?.id ?? "place"}`;
  } catch (error) {
    if (isCurrent()) note(`This view could not be drawn: ${error.message}`);
  }
}

const kindOf = (name) => (name === "space" ? "space" : "plan");

function captionOf(answer, place) {
  if (tab === "corrected") return correctionWords(answer, place);
  const without = answer && !answer.center_m ? "There is no position to show. " : "";
  if (tab === "space") return `${without}Drag to turn, scroll or pinch to come nearer.`;
  return without + (place.floor_plans.length ? "The position as estimated, on the floor plan." : "No floor map: the walks that mapped the place, from above.");
}

function clear() {
  const plot = view.querySelector(".plot");
  if (plot) Plotly.purge(plot);
  view.replaceChildren();
}

function note(words) {
  clear();
  view.replaceChildren(element("p", { class: "quiet" }, words));
}

function invite() {
  view.replaceChildren(element("div", { class: "empty" },
    element("p", { class: "lead" }, "No photo yet"),
    element("p", { class: "quiet" }, "The answer to a photo is shown here. The other views show the mapped place already.")));
}

function showVerdict(photo) {
  const box = byId("verdict");
  if (!photo) {
    box.replaceChildren();
    return;
  }
  const { label, kind } = stateOf(photo);
  const held = document.activeElement.closest("#verdict button")?.dataset.act; // what is made anew keeps the keyboard
  const button = (act, text, onclick) => element("button", { type: "button", class: "link", "data-act": act, "aria-label": `${text}: ${photo.name}`, onclick }, text);
  const failed = ["offline", "refused"].includes(photo.state);
  box.replaceChildren(
    element("span", { class: "badge", "data-kind": kind }, label), element("span", {}, ` ${sentence(photo)} `),
    element("span", { class: "acts" },
      button("again", failed ? "Try again" : "Ask again", () => photos.again(photo, chosenFields())),
      button("remove", "Remove", () => remove(photo))));
  if (held) box.querySelector(`[data-act="${held}"]`).focus();
}

function remove(photo) {
  photos.remove(photo);
  if (!list.focus()) byId("choose").focus();
}

function choose(name, focus = true) {
  tab = name;
  for (const button of tabs) {
    const chosen = button.id === `tab-${name}`;
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
    if (chosen) {
      view.setAttribute("aria-labelledby", button.id);
      if (focus) button.focus();
    }
  }
  show();
}

function onTabKey(event) {
  const at = tabs.findIndex((button) => button.id === `tab-${tab}`);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(tabs[to % tabs.length].id.slice(4));
}

function onFiles(input) {
  input.addEventListener("change", () => {
    take(input.files);
    input.value = ""; // so that the same photo can be chosen again
  });
}

photos.addEventListener("change", ({ detail: photo }) => {
  if (photo === list.selected) show();
  if (!["queued", "sending"].includes(photo.state)) byId("live").textContent = `${photo.name}: ${stateOf(photo).label}. ${sentence(photo)}`;
});
list.addEventListener("select", show);
list.addEventListener("remove", ({ detail }) => remove(detail));
tabs.forEach((button) => button.addEventListener("click", () => choose(button.id.slice(4))));
byId("tabs").addEventListener("keydown", onTabKey);
byId("choose").addEventListener("click", () => byId("files").click());
byId("take").addEventListener("click", () => byId("camera").click());
byId("again").addEventListener("click", () => photos.items.forEach((photo) => photos.again(photo, chosenFields())));
[byId("files"), byId("camera")].forEach(onFiles);
document.addEventListener("paste", (event) => take(event.clipboardData?.files ?? []));
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    document.body.classList.add("dropping");
  });
}
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files);
});
onTheme(show);
show();
start();
