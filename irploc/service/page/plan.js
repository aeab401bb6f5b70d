// The second and third view: positions from above, on the floor plan or over the walks that mapped the place.

import { picture } from "./api.js";
import { asLines, headingOnPlan, onPlan, strokesOf } from "./geometry.js";
import { CONFIG, colours, layout } from "./theme.js";
import { onFingers, onWheel } from "./touch.js";
import { absence, rough } from "./words.js";

const ARROW = 0.12; // of the place's size
const MARGIN = 0.06; // of it too
const HALF_VIEW = 0.42; // tangent of half of the angle that the wedge shows
const SHADE = 0.55; // how much the service's picture of shaded ground covers
const SHOWN_NEIGHBOURS = 10;

/** Draws a place from above, and an answer on it. With `corrected`, ground that cannot be walked on is shaded. */
export async function drawPlan(view, photo, place, corrected, isCurrent) {
  const answer = photo?.answer;
  const plan = planOf(photo, place);
  const plane = plan?.plane ?? place.plane;
  const { seen, size } = windowOf(answer, place, plane, plan);
  const traces = [...walks(place, plane), ...neighbours(answer, place, plane)];
  const shapes = [];
  const annotations = [];
  if (answer?.center_m) {
    const raw = pose(answer, plane, size * ARROW);
    traces.push(...raw.traces);
    if (corrected && answer.corrected) traces.push(...moved(answer, plane)); // over the estimate, which may be near
    annotations.push(...raw.annotations);
    if (answer.expected_error) shapes.push(circle(onPlan(plane, answer.center_m), answer.expected_error.position_m));
  }
  const layers = await pictures(plan, corrected);
  if (!isCurrent()) return;
  const images = layers.map(({ image }) => image);
  traces.push(...layers.filter(({ tint }) => tint).map(({ image, tint }) => ground(tint, image.opacity)));
  const axis = (name, range, more) => ({ title: { text: `${name} (${place.units === "metres" ? "m" : place.units})`, standoff: 6 }, automargin: true, range: [...range], zeroline: false, gridcolor: colours().line, ...more });
  const shown = layout({
    images, shapes, annotations, dragmode: "pan",
    xaxis: axis(plane.right, seen.x, { constrain: "domain" }),
    yaxis: axis(plane.up, seen.y, { scaleanchor: "x", constrain: "domain", constraintoward: "top" }),
  });
  await Plotly.react(view, traces, shown, CONFIG);
  if (!view.reset) {
    onFingers(view, false, () => pinched(view));
    onWheel(view);
  }
  view.reset = () => Plotly.relayout(view, { "xaxis.range": [...seen.x], "yaxis.range": [...seen.y] });
}

/** Two fingers' grip on what is seen: what lay between them stays between them. */
function pinched(view) {
  const axes = ["xaxis", "yaxis"].map((name) => view._fullLayout[name]);
  const ranges = axes.map((axis) => [...axis.range]);
  return (farther, before, now) => {
    const moved = axes.map(({ _offset, _length }, row) => {
      const share = (at) => (row ? _offset + _length - at[1] : at[0] - _offset) / _length;
      const [low, high] = ranges[row];
      const span = (high - low) * farther;
      const start = low + share(before) * (high - low) - share(now) * span;
      return [start, start + span];
    });
    Plotly.relayout(view, { "xaxis.range": moved[0], "yaxis.range": moved[1] });
  };
}

/** The floor plan that a photo was asked for with, else the place's first; none where none was wanted. */
function planOf(photo, place) {
  const name = photo?.fields.floor_map;
  if (name === "none") return null;
  return place.floor_plans.find((plan) => plan.name === (name || place.default_floor_map)) ?? place.floor_plans[0] ?? null;
}

function walks(place, plane) {
  const { walk } = colours();
  const strokes = place.trajectory.flatMap((each) => strokesOf(each, (center) => onPlan(plane, center)));
  const { x, y } = asLines(strokes);
  const common = { x, y, hoverinfo: "skip", name: `${place.mapping_photos} mapping photos` };
  return [{ ...common, type: "scatter", mode: "lines+markers", line: { color: walk, width: 1.2 }, marker: { color: walk, size: 2.5 } }];
}

function neighbours(answer, place, plane) {
  const wanted = new Map((answer?.neighbours ?? []).slice(0, SHOWN_NEIGHBOURS).map(({ name, similarity }) => [name, similarity]));
  const points = [];
  for (const walk of place.trajectory) {
    walk.photos.forEach((name, row) => {
      if (wanted.has(name)) points.push([...onPlan(plane, walk.centers_m[row]), `${name}<br>similarity ${wanted.get(name).toFixed(3)}`]);
    });
  }
  if (!points.length) return [];
  return [{
    type: "scatter", mode: "markers", name: "most similar", marker: { color: colours().near, size: 7, line: { width: 0 } },
    x: points.map((point) => point[0]), y: points.map((point) => point[1]), text: points.map((point) => escaped(point[2])), hovertemplate: "%{text}<extra></extra>",
  }];
}

const escaped = (text) => text.replace(/&/g, "&amp;").replace(/<(?!br>)/g, "&lt;");

/** The estimate: a dot, the wedge it looks into, and an arrow along its heading where it has one. */
function pose(answer, plane, size) {
  const { raw } = colours();
  const [x, y] = onPlan(plane, answer.center_m);
  const traces = [];
  const annotations = [];
  const heading = headingOnPlan(plane, answer.world_from_cam_wxyz);
  if (heading) {
    const [u, v] = heading;
    const corners = [[x, y], ...wedge([x, y], heading, size), [x, y]];
    traces.push({
      type: "scatter", mode: "lines", fill: "toself", fillcolor: translucent(raw, 0.14), line: { width: 1, color: translucent(raw, 0.4) }, hoverinfo: "skip", name: "looks this way",
      x: corners.map((point) => point[0]), y: corners.map((point) => point[1]),
    });
    annotations.push({ x: x + size * u, y: y + size * v, ax: x, ay: y, axref: "x", ayref: "y", xref: "x", yref: "y", showarrow: true, arrowhead: 2, arrowsize: 1.1, arrowwidth: 2.4, arrowcolor: raw });
  }
  traces.push({
    type: "scatter", mode: "markers", name: "estimated", marker: { color: raw, size: 12, line: { color: colours().ground, width: 2 } },
    x: [x], y: [y], hovertemplate: `estimated<br>${plane.right} %{x:.3f}, ${plane.up} %{y:.3f}<extra></extra>`,
  });
  return { traces, annotations };
}

/** The far corners of the wedge that a camera looks into. */
function wedge([x, y], [u, v], size) {
  return [1, -1].map((side) => [x + size * 1.5 * (u - side * HALF_VIEW * v), y + size * 1.5 * (v + side * HALF_VIEW * u)]);
}

/** What shaded ground is, for the legend. */
function ground(tint, opacity) {
  const color = translucent(tint, opacity * SHADE);
  return { type: "scatter", mode: "markers", name: "not walkable", x: [null], y: [null], hoverinfo: "skip", marker: { symbol: "square", size: 14, color, line: { color: tint, width: 1 } } };
}

function moved(answer, plane) {
  const { fixed } = colours();
  const [from, to] = [answer.center_m, answer.corrected.center_m].map((point) => onPlan(plane, point));
  if (!answer.corrected.moved_m) return [];
  const name = `corrected, moved ${rough(answer.corrected.moved_m, answer.units)}`;
  return [
    { type: "scatter", mode: "lines", x: [from[0], to[0]], y: [from[1], to[1]], line: { color: fixed, width: 2, dash: "dot" }, hoverinfo: "skip", showlegend: false },
    { type: "scatter", mode: "markers", name, x: [to[0]], y: [to[1]], marker: { color: fixed, size: 20, symbol: "diamond-open", line: { color: fixed, width: 3 } }, hovertemplate: `${name}<extra></extra>` },
  ];
}

function circle([x, y], radius) {
  const { raw } = colours();
  return { type: "circle", name: "expected error", showlegend: true, x0: x - radius, x1: x + radius, y0: y - radius, y1: y + radius, line: { color: raw, width: 1.2, dash: "dash" }, fillcolor: translucent(raw, 0.06) };
}

const translucent = (hex, share) => `${hex}${Math.round(share * 255).toString(16).padStart(2, "0")}`;

/** The plan, and what cannot be walked on where that is asked for, as pictures that lie on the plane, with their tints. */
async function pictures(plan, corrected) {
  if (!plan) return [];
  const shade = corrected ? 0.85 : plan.plan_url ? 0 : 0.35; // without a picture, the ground is all that there is to see
  const layers = [[plan.plan_url, 0.6, null], [plan.walkable_url, shade, colours().shade]].filter(([url, opacity]) => url && opacity);
  const loaded = await Promise.all(layers.map(async ([url, opacity, tint]) => {
    try {
      const image = new Image();
      image.src = await picture(`v1/scenes/${url}`);
      await image.decode();
      return { image: { ...placed(image, plan, tint), opacity }, tint };
    } catch {
      return null; // the plan is an ornament: positions are right without it
    }
  }));
  return loaded.filter(Boolean);
}

/** A picture of a plan where it lies, in one colour if `tint` names one. Plots cannot turn pictures, so it is drawn into its
 *  upright frame. */
function placed(image, plan, tint) {
  const [low, high] = [Math.min, Math.max].map((pick) => [0, 1].map((row) => pick(...plan.corners_m.map((corner) => corner[row]))));
  const [width, height] = [0, 1].map((row) => high[row] - low[row]);
  const [across, down] = [plan.width_px, plan.height_px].map((count) => count * plan.metres_per_pixel);
  const scale = Math.max(image.width / across, 600 / Math.max(width, height)); // pixels a metre; small rasters keep their squares
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [Math.round(width * scale), Math.round(height * scale)];
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = image.width / across >= scale;
  const [left, top] = plan.corners_m[3];
  context.translate((left - low[0]) * scale, (high[1] - top) * scale);
  context.rotate((-plan.yaw_deg * Math.PI) / 180);
  context.drawImage(image, 0, 0, across * scale, down * scale);
  if (tint) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.fillStyle = tint;
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  return { xref: "x", yref: "y", x: low[0], y: high[1], sizex: width, sizey: height, sizing: "stretch", layer: "below", source: canvas.toDataURL() };
}

/** Ranges that hold plan, walks and answer, with the wedge it looks into; and the size by which the wedge is drawn. */
function windowOf(answer, place, plane, plan) {
  const points = place.trajectory.flatMap((walk) => walk.centers_m.map((center) => onPlan(plane, center)));
  if (plan) points.push(...plan.corners_m);
  if (answer?.center_m) {
    const [x, y] = onPlan(plane, answer.center_m);
    const radius = answer.expected_error?.position_m ?? 0;
    points.push([x - radius, y - radius], [x + radius, y + radius]);
  }
  if (answer?.corrected) points.push(onPlan(plane, answer.corrected.center_m));
  const size = Math.max(...rangesOf(points).map(([low, high]) => high - low), 1e-3);
  const heading = answer?.center_m && headingOnPlan(plane, answer.world_from_cam_wxyz);
  if (heading) points.push(...wedge(onPlan(plane, answer.center_m), heading, size * ARROW));
  const [x, y] = rangesOf(points).map(([low, high]) => [low - MARGIN * size, high + MARGIN * size]);
  return { seen: { x, y }, size };
}

function rangesOf(points) {
  return [0, 1].map((row) => {
    let [low, high] = [Infinity, -Infinity];
    for (const point of points) [low, high] = [Math.min(low, point[row]), Math.max(high, point[row])];
    return [low, high];
  });
}

/** What the plan says in words. */
export function planWords(photo, place) {
  if (!planOf(photo, place)) return `${absence(photo)}No floor map: the walks that mapped the place, from above.`;
  if (photo?.answer?.center_m) return "The position as estimated, on the floor plan.";
  return `${absence(photo)}The floor plan, and the walks that mapped the place.`;
}

/** What the corrected view says in words. */
export function correctionWords(photo, place) {
  if (!place.floor_plans.length) return "This place has no floor map; what is drawn are the walks that mapped it, from above.";
  if (photo?.fields.floor_map === "none") return "No floor map was asked for.";
  const answer = photo?.answer;
  if (!answer) return `${absence(photo)}Shaded ground cannot be walked on.`;
  if (!answer.center_m && answer.outside_m) return `The estimate lay ${rough(answer.outside_m, answer.units)} outside, too far to be believed.`;
  if (!answer.center_m) return "There is no position to correct.";
  if (answer.outside_m === null) return "This answer was not compared with a floor map.";
  if (!answer.corrected?.moved_m) return "The estimate lies on ground that can be walked on: nothing had to be corrected.";
  return `Moved ${rough(answer.corrected.moved_m, answer.units)} to the nearest ground that can be walked on.`;
}
