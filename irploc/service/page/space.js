// The fourth view: points of the place, the cameras that mapped it and the estimated one, to be turned.

import { json } from "./api.js";
import { asLines, axisNames, frustum, inSpace, strokesOf } from "./geometry.js";
import { CONFIG, colours, layout } from "./theme.js";
import { onFingers, onWheel } from "./touch.js";

const MOST_CAMERAS = 120;
const NARROW_PX = 600;
const CENTRE = { x: -0.12, y: 0.09, z: -0.2 }; // left of the middle and below it, where the axes have their titles
const EYE = { x: -0.9, y: -1.2, z: 0.9 }; // from there
const clouds = new WeakMap(); // description -> promise of its points; a newer description has newer ones

/** Draws a place in space, and an answer in it. */
export async function drawSpace(view, answer, place, isCurrent) {
  const cloud = await cloudOf(place);
  if (!isCurrent()) return;
  const { plane } = place;
  const size = sizeOf(place);
  const traces = [...points(cloud, plane), ...walk(place, plane), ...cameras(place, plane, size)];
  if (answer?.center_m) traces.push(...estimate(answer, plane, size));
  const unit = place.units === "metres" ? "m" : place.units;
  const [right, up, vertical] = axisNames(plane).map((name) => `${name} (${unit})`);
  const narrow = view.clientWidth < NARROW_PX;
  const font = { size: narrow ? 10 : 12 };
  const axis = (title) => ({ title: { text: title, font }, tickfont: font, nticks: narrow ? 5 : 8, showspikes: false, backgroundcolor: colours().ground, gridcolor: colours().line, zerolinecolor: colours().line });
  const camera = () => ({ eye: farther(EYE, CENTRE, narrow ? 2 : 1.25), center: { ...CENTRE }, up: { x: 0, y: 0, z: 1 } });
  const scene = { aspectmode: "data", dragmode: "turntable", xaxis: axis(right), yaxis: axis(up), zaxis: axis(vertical), camera: camera() };
  await Plotly.react(view, traces, layout({ scene, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: place.name }), CONFIG);
  if (!view.reset) {
    onFingers(view, true, () => pinched(view));
    onWheel(view);
  }
  view.reset = () => Plotly.relayout(view, { "scene.camera": camera() });
}

const farther = (way, from, factor) => ({ x: from.x + factor * way.x, y: from.y + factor * way.y, z: from.z + factor * way.z });

/** Two fingers' grip on the camera. */
function pinched(view) {
  const { eye, center, up } = view._fullLayout.scene._scene.getCamera();
  const way = farther(center, eye, -1);
  return (factor) => Plotly.relayout(view, { "scene.camera": { eye: farther(way, center, factor), center, up } });
}

function cloudOf(place) {
  if (!clouds.has(place)) {
    const loading = json(`v1/scenes/${place.points_url}`);
    loading.catch(() => clouds.delete(place));
    clouds.set(place, loading);
  }
  return clouds.get(place);
}

function sizeOf(place) {
  const { min, max } = place.extent_m;
  return Math.max(...min.map((low, row) => max[row] - low), 1e-3);
}

function points(cloud, plane) {
  if (!cloud.points_m.length) return [];
  const placed = cloud.points_m.map((point) => inSpace(plane, point));
  return [{
    type: "scatter3d", mode: "markers", name: `${cloud.points_m.length} of ${cloud.total} points`, hoverinfo: "skip",
    x: placed.map((point) => point[0]), y: placed.map((point) => point[1]), z: placed.map((point) => point[2]),
    marker: { size: 1.6, color: cloud.colors ?? colours().quiet },
  }];
}

function walk(place, plane) {
  const strokes = place.trajectory.flatMap((each) => strokesOf(each, (center) => inSpace(plane, center)));
  return [{ type: "scatter3d", mode: "lines", name: "mapped walk", hoverinfo: "skip", line: { color: colours().walk, width: 3 }, ...asLines(strokes) }];
}

function cameras(place, plane, size) {
  const every = Math.max(1, Math.ceil(place.mapping_photos / MOST_CAMERAS));
  const lines = { x: [], y: [], z: [] };
  for (const each of place.trajectory) {
    for (let row = 0; row < each.centers_m.length; row += every) {
      append(lines, frustum(plane, each.centers_m[row], each.world_from_cam_wxyz[row], 0.035 * size));
    }
  }
  const name = every > 1 ? `1 of ${every} mapping cameras` : "mapping cameras";
  const color = colours().walk;
  return [
    { type: "scatter3d", mode: "lines", showlegend: false, legendgroup: name, hoverinfo: "skip", line: { color, width: 1 }, ...lines },
    // for the legend, where the line would look like the walk's
    { type: "scatter3d", mode: "markers", name, legendgroup: name, hoverinfo: "skip", x: [null], y: [null], z: [null], marker: { color, symbol: "square-open", size: 8 } },
  ];
}

function append(lines, more) {
  for (const name of ["x", "y", "z"]) lines[name].push(...more[name]);
}

function estimate(answer, plane, size) {
  const { raw, fixed } = colours();
  const [x, y, z] = inSpace(plane, answer.center_m);
  const traces = [
    { type: "scatter3d", mode: "lines", name: "estimated", hoverinfo: "skip", line: { color: raw, width: 6 }, ...frustum(plane, answer.center_m, answer.world_from_cam_wxyz, 0.14 * size) },
    { type: "scatter3d", mode: "markers", showlegend: false, x: [x], y: [y], z: [z], marker: { color: raw, size: 5 }, hovertemplate: "estimated<extra></extra>" },
  ];
  if (answer.expected_error) traces.push(sphere([x, y, z], answer.expected_error.position_m, raw));
  if (answer.corrected?.moved_m) {
    const to = inSpace(plane, answer.corrected.center_m);
    traces.push({ type: "scatter3d", mode: "lines+markers", name: "corrected", x: [x, to[0]], y: [y, to[1]], z: [z, to[2]], line: { color: fixed, width: 5, dash: "dot" }, marker: { color: fixed, symbol: "diamond", size: [0, 9] }, hoverinfo: "name" });
  }
  return traces;
}

/** Three great circles. */
function sphere([x, y, z], radius, color) {
  const turns = Array.from({ length: 49 }, (_, step) => (step * Math.PI) / 24);
  const circles = [[0, 1], [1, 2], [2, 0]].map(([i, j]) => turns.map((turn) => {
    const point = [x, y, z];
    point[i] += radius * Math.cos(turn);
    point[j] += radius * Math.sin(turn);
    return point;
  }));
  return { type: "scatter3d", mode: "lines", name: "expected error", hoverinfo: "skip", line: { color, width: 2, dash: "dash" }, ...asLines(circles) };
}
