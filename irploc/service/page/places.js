// The places that the service knows, and what may be asked of them.

import { Problem, json } from "./api.js";
import { element } from "./dom.js";

const PAUSE_MS = 1500;
const FRESH_MS = 60_000; // the service may read a scene again
const LONGEST_REFRESH_MS = 5000;
const descriptions = new Map(); // name -> promise of its description, and when it was asked for
let listed = []; // what was told of all scenes last

/** Waits until the service has loaded its scenes; tells what it waits for. */
export async function summaries(tell) {
  for (;;) {
    try {
      return await readList();
    } catch (error) {
      if (!(error instanceof Problem) || !(error.isUnreached || error.status === 503)) throw error;
      tell(error.isUnreached ? "The service does not answer; trying again…" : "The service is loading its places…");
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

async function readList() {
  ({ scenes: listed } = await json("v1/scenes"));
  return listed;
}

/** Reads all again; gives the summaries, and whether anything that is asked for or drawn by its name is another than before. */
export async function readAgain() {
  const before = named([...listed, ...(await known())]);
  const scenes = await readList();
  for (const each of descriptions.values()) each.since = -Infinity;
  await Promise.allSettled([...descriptions.keys()].map(description));
  return { scenes, changed: named([...scenes, ...(await known())]) !== before };
}

/** Every description that came, the newest of each place. */
const known = async () => (await Promise.allSettled([...descriptions.values()].map(({ loading }) => loading))).flatMap(({ value }) => value ?? []);

/** The scenes without what is only drawn, to be compared. */
const named = (scenes) => JSON.stringify(scenes.map(({ trajectory, ...rest }) => rest));

/** Whether a description says something else than the choosers of its place. */
export function isNewer({ name, ...place }) {
  const summary = listed.find((scene) => scene.name === name);
  return ["methods", "default_method", "floor_maps", "default_floor_map"].some((key) => String(summary?.[key]) !== String(place[key]));
}

/** Whether an answer was made with a floor map where the choosers know of none, or without one where they have a default. */
export function isOfOtherFloor({ scene, status, outside_m: outside }, { floor_map: asked }) {
  const floors = listed.find(({ name }) => name === scene)?.floor_maps.length ?? 0;
  return outside === null ? status === "ok" && asked !== "none" && floors > 0 : floors === 0;
}

/** What is drawn of a place; what was known of it before where the service does not tell any more. */
export function description(name) {
  const known = descriptions.get(name);
  if (known && performance.now() - known.since < FRESH_MS) return known.loading;
  const path = `v1/scenes/${encodeURIComponent(name)}`;
  const loading = known ? json(path, { signal: AbortSignal.timeout(LONGEST_REFRESH_MS) }).catch(() => known.loading) : json(path);
  loading.catch(() => descriptions.delete(name));
  descriptions.set(name, { loading, since: performance.now() });
  return loading;
}

/** The choosers of scene, method and floor map, left as they are where that is possible; calls back with the place to show. */
export function fillChoosers(scenes, changed) {
  const [scene, method, floorMap] = ["scene", "method", "floor-map"].map((id) => document.getElementById(id));
  const option = (value, text = value) => element("option", { value }, text);
  const fill = (chooser, ...options) => {
    const before = chooser.value;
    chooser.replaceChildren(...options);
    if (options.some(({ value }) => value === before)) chooser.value = before;
  };
  fill(scene, ...(scenes.length > 1 ? [option("", "the one that fits best")] : []), ...scenes.map(({ name }) => option(name)));
  const refill = () => {
    const among = scene.value ? scenes.filter(({ name }) => name === scene.value) : scenes;
    const common = (list) => among.map((one) => one[list]).reduce((all, some) => all.filter((item) => some.includes(item)));
    const defaults = [...new Set(among.map((one) => one.default_method))].join(" or ");
    fill(method, option("", `default: ${defaults}`), ...common("methods").map((name) => option(name)));
    const maps = common("floor_maps");
    fill(floorMap, option("", maps.length ? `default: ${maps[0]}` : "default"), ...maps.map((name) => option(name)), option("none"));
    floorMap.closest("label").hidden = !among.some((one) => one.floor_maps.length);
    changed(scene.value || scenes[0].name);
  };
  scene.onchange = refill;
  if (scenes.length) refill();
}

/** What is wrong with the focal length, in words; empty where nothing is. */
export function focalProblem() {
  const { valid } = document.getElementById("focal").validity;
  return valid ? "" : "A focal length is 1 to 1,000,000 pixels; without one, leave it empty.";
}

/** What the choosers say now, as fields of a request. */
export function chosenFields() {
  const value = (id) => document.getElementById(id).value.trim();
  return { scene: value("scene"), method: value("method"), floor_map: value("floor-map"), focal: value("focal") };
}
