// The places that the service knows, and what may be asked of them.

import { Problem, json } from "./api.js";
import { element } from "./dom.js";

const PAUSE_MS = 1500;
const FRESH_MS = 60_000; // the service may read a scene again
const LONGEST_REFRESH_MS = 5000;
const descriptions = new Map(); // name -> promise of its description, and when it was asked for

/** Waits until the service has loaded its scenes; tells what it waits for. */
export async function summaries(tell) {
  for (;;) {
    try {
      return (await json("v1/scenes")).scenes;
    } catch (error) {
      if (!(error instanceof Problem) || !(error.isUnreached || error.status === 503)) throw error;
      tell(error.isUnreached ? "The service does not answer; trying again…" : "The service is loading its places…");
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
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

/** The choosers of scene, method and floor map; calls back when the scene changes. */
export function fillChoosers(scenes, changed) {
  const [scene, method, floorMap] = ["scene", "method", "floor-map"].map((id) => document.getElementById(id));
  const option = (value, text = value) => element("option", { value }, text);
  scene.replaceChildren(...(scenes.length > 1 ? [option("", "the one that fits best")] : []), ...scenes.map(({ name }) => option(name)));
  const refill = () => {
    const among = scene.value ? scenes.filter(({ name }) => name === scene.value) : scenes;
    const common = (list) => among.map((one) => one[list]).reduce((all, some) => all.filter((item) => some.includes(item)));
    const defaults = [...new Set(among.map((one) => one.default_method))].join(" or ");
    method.replaceChildren(option("", `default (${defaults})`), ...common("methods").map((name) => option(name)));
    const maps = common("floor_maps");
    floorMap.replaceChildren(option("", maps.length ? `default (${maps[0]})` : "default"), ...maps.map((name) => option(name)), option("none"));
    floorMap.closest("label").hidden = !among.some((one) => one.floor_maps.length);
    changed(scene.value || scenes[0].name);
  };
  scene.addEventListener("change", refill);
  if (scenes.length) refill();
}

/** What the choosers say now, as fields of a request. */
export function chosenFields() {
  const value = (id) => document.getElementById(id).value.trim();
  return { scene: value("scene"), method: value("method"), floor_map: value("floor-map"), focal: value("focal") };
}
