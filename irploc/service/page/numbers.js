// The first view: the answer in numbers, beside the mapping photos that the photo resembles.

import { picture } from "./api.js";
import { element, facts } from "./dom.js";
import { headingOnPlan, tiltDeg } from "./geometry.js";
import { confidenceWords, degrees, isWaiting, number, rough, unitOf } from "./words.js";

const SHOWN_NEIGHBOURS = 6;

/** Fills the view. `place` is the description of the answer's scene, or null. */
export function showNumbers(view, photo, place) {
  const { answer } = photo;
  view.replaceChildren(
    answer ? facts(position(answer, place)) : element("p", { class: "quiet" }, absenceWords(photo)),
    comparison(photo, place),
    answer ? facts(circumstances(answer)) : "",
    answer ? copyButton(answer) : "",
  );
}

const absenceWords = (photo) => (isWaiting(photo) ? "The numbers are shown here once the photo is answered." : "There are no numbers without an answer.");

function position(answer, place) {
  const { units, center_m: center, world_from_cam_wxyz: quaternion, expected_error: expected, spread } = answer;
  if (!center) return [["Position", "none: not localized"], ["Confidence", confidenceWords(answer)]];
  return [
    ["Position", coordinates(center, units)],
    ["Corrected position", correctedWords(answer)],
    ["Walkable ground", answer.outside_m === null ? undefined : answer.outside_m ? `${rough(answer.outside_m, units)} away` : "on it"],
    ["Heading", headingWords(answer, place)],
    ["Tilt", place?.up ? tiltWords(tiltDeg(place.plane, quaternion)) : undefined],
    ["Rotation", quaternion.map((value, row) => `${"wxyz"[row]} ${number(value, 4)}`).join("\u2002 ")],
    ["Expected error", expected ? `${rough(expected.position_m, units)}, ${degrees(expected.rotation_deg)}: as often more as less` : null],
    ["Confidence", confidenceWords(answer)],
    ["Heads differ by", spread ? `${rough(spread.position_m, units)}, ${degrees(spread.rotation_deg)}` : undefined],
    ["Note", answer.note ?? undefined],
  ];
}

function coordinates(point, units) {
  const [x, y, z] = point.map((value) => number(value, 3));
  return `x ${x}\u2002 y ${y}\u2002 z ${z} ${unitOf(units)}`;
}

function correctedWords({ corrected, units }) {
  if (!corrected) return undefined;
  return corrected.moved_m ? coordinates(corrected.center_m, units) : "the same";
}

function tiltWords(tilt) {
  return Math.abs(tilt) < 0.05 ? "level" : `${degrees(Math.abs(tilt))} ${tilt < 0 ? "below" : "above"} the horizon`;
}

function headingWords({ plane_pose: pose, world_from_cam_wxyz: quaternion }, place) {
  if (pose) return pose.heading_deg === null ? "none: it looks up or down" : `${degrees(pose.heading_deg)} counter-clockwise from ${place?.plane.right ?? "the first axis"}`;
  if (!place) return null;
  if (!headingOnPlan(place.plane, quaternion)) return "none: it looks up or down";
  return place.up ? "needs a floor plan" : "on the plan; what is up here is not known for sure";
}

function circumstances(answer) {
  const { timing_ms: timing, camera } = answer;
  return [
    ["Scene, method", `${answer.scene}, ${answer.method}`],
    ["Camera", camera ? `${camera.model} ${camera.width}\u00d7${camera.height}, focal ${number(camera.params[0], 0)} px (${camera.source})` : undefined],
    ["Time", Object.entries(timing).map(([stage, ms]) => `${stage} ${number(ms, 0)} ms`).join(", ")],
  ];
}

function comparison(photo, place) {
  const own = element("figure", { class: "own" }, element("img", { src: photo.url, alt: photo.name }), element("figcaption", {}, "your photo"));
  own.firstChild.addEventListener("error", (event) => event.target.replaceWith(element("div", { class: "gone" }, "no picture of it")));
  const neighbours = (photo.answer?.neighbours ?? []).slice(0, SHOWN_NEIGHBOURS);
  const template = place?.thumbnail_url;
  const figures = neighbours.map(({ name, similarity }) => {
    const image = element("img", { alt: `mapping photo ${name}`, loading: "lazy" });
    if (template) {
      picture(`v1/scenes/${template.replace("{photo}", encodeURIComponent(name))}`)
        .then((url) => { image.src = url; })
        .catch(() => image.replaceWith(element("div", { class: "gone" }, "not here any more")));
    }
    const caption = element("figcaption", { title: name }, element("b", {}, number(similarity, 3)), " ", element("span", {}, name));
    return element("figure", {}, template ? image : "", caption);
  });
  if (!figures.length) return element("div", { class: "compare" }, own);
  return element("div", {}, element("h2", {}, "The mapping photos it resembles most"), element("div", { class: "compare" }, own, figures));
}

function copyButton(answer) {
  const button = element("button", { type: "button", onclick: copy }, "Copy as JSON");
  async function copy() {
    try {
      await navigator.clipboard.writeText(JSON.stringify(answer, null, 2));
      button.textContent = "Copied";
    } catch {
      const text = element("textarea", { readonly: true, rows: 8, "aria-label": "The answer as JSON" });
      text.value = JSON.stringify(answer, null, 2);
      button.replaceWith(text);
      text.select();
    }
  }
  return button;
}
