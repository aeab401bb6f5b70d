// Puts the page together: photos come in, one is selected, a view of it is shown.

import { service } from "./api.js";
import { element } from "./dom.js";
import { List } from "./list.js";
import { showNumbers } from "./numbers.js";
import { Photos } from "./photos.js";
import { chosenFields, description, fillChoosers, focalProblem, isNewer, isOfOtherFloor, readAgain, summaries } from "./places.js";
import { correctionWords, drawPlan, planWords } from "./plan.js";
import { plots } from "./plots.js";
import { drawSpace } from "./space.js";
import { onTheme } from "./theme.js";
import { canScroll } from "./touch.js";
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
let held = []; // files that came while the options could not be sent
const doubted = new Set(); // what did not fit what the service told, since it last told something new
let reading = null;
const resized = new ResizeObserver(([{ target }]) => { // windows are not all that changes it: words over a plot do
  if (target._fullLayout && target.isConnected) Plotly.Plots.resize(target);
});

async function start() {
  try {
    const scenes = await summaries((words) => { byId("place").textContent = words; });
    if (offer(scenes)) document.body.dataset.ready = "yes";
  } catch (error) {
    byId("place").textContent = error.message;
  }
}

/** Shows which places there are and lets them be chosen; false where there are none. */
function offer(scenes) {
  if (!scenes.length) {
    byId("place").textContent = "This service has no places.";
    return false;
  }
  byId("place").textContent = scenes.length === 1 ? `${scenes[0].name}: ${scenes[0].mapping_photos} mapping photos` : `${scenes.length} places`;
  fillChoosers(scenes, (name) => { homePlace = name; if (!list.selected) show(); });
  return true;
}

/** Reads the places again where something does not fit what the service told of them: it was started anew, perhaps with
 *  other maps. What still does not fit then is not a reason twice. */
async function doubt(what) {
  if (doubted.has(what) || !document.body.dataset.ready) return;
  doubted.add(what);
  try {
    reading ??= readAgain().finally(() => { reading = null; });
    const { scenes, changed } = await reading;
    if (!changed) return;
    doubted.clear();
    offer(scenes);
    show();
  } catch {
    doubted.delete(what); // the service is gone
  }
}

function take(files) {
  const images = [...files];
  if (!images.length) return;
  if (!mayAsk()) {
    held.push(...images);
    tellFocal();
    return;
  }
  const added = photos.add(images, chosenFields());
  list.select(added[0]);
}

function again(some) {
  if (mayAsk()) some.forEach((photo) => photos.again(photo, chosenFields()));
}

/** Whether the options can be sent; shows what is wrong with them otherwise. */
function mayAsk() {
  tellFocal();
  if (!focalProblem()) return true;
  byId("options").open = true;
  byId("focal").focus();
  return false;
}

function tellFocal() {
  const problem = focalProblem();
  const waiting = held.length ? ` ${held.length === 1 ? "A photo waits" : `${held.length} photos wait`} to be sent.` : "";
  byId("focal").setAttribute("aria-invalid", String(problem !== ""));
  byId("focal-wrong").textContent = problem && problem + waiting;
}

function onFocal() {
  tellFocal();
  if (focalProblem()) return;
  const files = held;
  held = [];
  take(files);
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
  if (place && isNewer(place)) doubt(`${name} ${place.methods} ${place.floor_maps}`);
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
  resized.disconnect();
  resized.observe(fresh);
  return fresh;
}

const kindOf = (name) => (name === "space" ? "space" : "plan");

function captionOf(photo, place) {
  if (tab === "corrected") return correctionWords(photo, place);
  if (tab === "plan") return planWords(photo, place);
  const coarse = matchMedia("(pointer: coarse)").matches;
  return `${absence(photo)}${coarse ? "Swipe sideways to turn, pinch to come nearer." : `Drag to turn, scroll ${canScroll(view) ? "with Ctrl " : ""}to come nearer.`}`;
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
  box.replaceChildren(
    element("span", { class: "badge", "data-kind": kind }, label), element("span", {}, ` ${sentence(photo)} `),
    element("span", { class: "acts" },
      button("again", photo.state === "offline" ? "Try again" : "Ask again", () => { if (!isWaiting(photo)) again([photo]); }, { "aria-disabled": isWaiting(photo) && "true" }),
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

service.addEventListener("lacking", ({ detail: path }) => doubt(path));
photos.addEventListener("change", ({ detail: photo }) => {
  if (photo.answer && isOfOtherFloor(photo.answer, photo.fields)) doubt(`an answer about ${photo.answer.scene}`);
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
byId("again").addEventListener("click", () => again(photos.items));
["change", "blur"].forEach((name) => byId("focal").addEventListener(name, onFocal)); // what is no number is no change
byId("focal").addEventListener("input", () => { if (!focalProblem()) tellFocal(); }); // what stands there is not wrong any more
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
