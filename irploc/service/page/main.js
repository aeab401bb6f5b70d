// Puts the page together: photos come in, one is selected, a view of it is shown.

import { element } from "./dom.js";
import { List } from "./list.js";
import { showNumbers } from "./numbers.js";
import { Photos } from "./photos.js";
import { chosenFields, description, fillChoosers, summaries } from "./places.js";
import { correctionWords, drawPlan, planWords } from "./plan.js";
import { plots } from "./plots.js";
import { drawSpace } from "./space.js";
import { onTheme } from "./theme.js";
import { absence, isWaiting, sentence, stateOf } from "./words.js";

const byId = (id) => document.getElementById(id);
const photos = new Photos();
const list = new List(byId("list"), photos);
const tabs = [...byId("tabs").children];
const view = byId("view");
let tab = "numbers";
let homePlace = null; // shown while no photo is selected
let drawing = 0;
let waitingFor = null; // the photo whose answer the view shown lacks

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
  waitingFor = photo && isWaiting(photo) ? photo : null;
  showVerdict(photo);
  const name = photo?.answer?.scene ?? homePlace;
  let place = null;
  try {
    place = name ? await description(name) : null;
  } catch (error) {
    if (tab !== "numbers") { // they are whole without the place
      if (isCurrent()) note(error.message);
      return;
    }
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
  if (!view.querySelector(".plot")) frame();
  const caption = captionOf(photo, place);
  view.querySelector(".caption").textContent = caption;
  view.querySelector("#reset").textContent = tab === "space" ? "Reset view" : "Whole plan";
  const plot = plotOf(kindOf(tab));
  plot.setAttribute("aria-label", `${place.name}: ${caption}`);
  try {
    if (tab === "space") await drawSpace(plot, photo?.answer, place, isCurrent);
    else await drawPlan(plot, photo, place, tab === "corrected", isCurrent);
    if (isCurrent()) plot.dataset.drawn = `${tab} ${photo?.id ?? "place"}`;
  } catch (error) {
    if (isCurrent()) note(`This view could not be drawn: ${error.message}`);
  }
}

/** What every plot stands in. */
function frame() {
  const reset = element("button", { type: "button", id: "reset", onclick: () => view.querySelector(".plot").reset?.() });
  view.replaceChildren(element("div", { class: "above" }, element("p", { class: "quiet caption" }), reset), element("div", { class: "plot" }));
}

/** The element to draw in: a new one where the old one holds the other kind of plot. */
function plotOf(kind) {
  const old = view.querySelector(".plot");
  if (old.dataset.kind === kind) return old;
  Plotly.purge(old);
  const fresh = element("div", { class: "plot", role: "img", "data-kind": kind });
  old.replaceWith(fresh);
  return fresh;
}

const kindOf = (name) => (name === "space" ? "space" : "plan");

function captionOf(photo, place) {
  if (tab === "corrected") return correctionWords(photo, place);
  if (tab === "plan") return planWords(photo, place);
  return `${absence(photo)}${matchMedia("(pointer: coarse)").matches ? "Swipe sideways to turn, pinch to come nearer." : "Drag to turn, scroll to come nearer."}`;
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
  const button = (act, text, onclick, more) => element("button", { type: "button", class: "link", "data-act": act, "aria-label": `${text}: ${photo.name}`, onclick, ...more }, text);
  const failed = ["offline", "refused"].includes(photo.state);
  box.replaceChildren(
    element("span", { class: "badge", "data-kind": kind }, label), element("span", {}, ` ${sentence(photo)} `),
    element("span", { class: "acts" },
      button("again", failed ? "Try again" : "Ask again", () => { if (!isWaiting(photo)) photos.again(photo, chosenFields()); }, { "aria-disabled": isWaiting(photo) && "true" }),
      button("remove", "Remove", () => remove(photo))));
  if (held) box.querySelector(`[data-act="${held}"]`).focus();
}

/** New words on a photo that still waits; the rest of the page stays, for whoever presses a button of it just now. */
function retell(photo) {
  const [badge, words] = byId("verdict").children;
  badge.textContent = stateOf(photo).label;
  words.textContent = ` ${sentence(photo)} `;
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
  if (isWaiting(photo) && photo === waitingFor) retell(photo);
  else if (photo === list.selected) show();
  if (!isWaiting(photo) && photos.items.includes(photo)) byId("live").textContent = `${photo.name}: ${stateOf(photo).label}. ${sentence(photo)}`;
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
