// What answers mean, in words; a value that is null is not known.

export const STATES = {
  queued: { label: "waiting", kind: "wait" },
  sending: { label: "waiting", kind: "wait" },
  busy: { label: "busy", kind: "wait" },
  loading: { label: "waiting", kind: "wait" },
  offline: { label: "no connection", kind: "bad" },
  refused: { label: "refused", kind: "bad" },
  ok: { label: "located", kind: "good" },
  approximate: { label: "approximate", kind: "fair" },
  outside_map: { label: "outside the map", kind: "fair" },
  not_localized: { label: "not localized", kind: "bad" },
};

const UNSURE = { label: "located, unsure", kind: "fair" };
const LEAST_SURE = 0.1; // a confidence below it is no good news

export function stateOf({ state, answer }) {
  if (state !== "answered") return STATES[state];
  return answer.status === "ok" && answer.confidence !== null && answer.confidence < LEAST_SURE ? UNSURE : STATES[answer.status];
}

/** Whether a photo is going to be answered without anybody's doing. */
export const isWaiting = (photo) => photo.state !== "answered" && stateOf(photo).kind === "wait";

const LEAST_METRES = 0.001; // finer than this nobody measures a photo's position
const digits = (value, count) => value.toFixed(count).replace(/^-/, "\u2212");
export const unitOf = (units) => (units === "metres" ? "m" : `(${units})`);

export const degrees = (value, count = 1) => `${digits(value, count)}\u00b0`;
export const number = digits;

/** A length in as many digits as it is worth: everywhere the same for the same. */
export function rough(value, units) {
  if (units === "metres" && value < LEAST_METRES) return `under ${LEAST_METRES} m`;
  const text = value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : units === "metres" ? value.toFixed(value < 0.01 ? 3 : 2) : value.toPrecision(2);
  return `${text} ${unitOf(units)}`;
}

/** What captions begin with where a photo has no position. */
export function absence(photo) {
  if (!photo || photo.answer?.center_m) return "";
  return isWaiting(photo) ? "There is no position yet. " : "There is no position to show. ";
}

/** One sentence on what an answer is. */
export function sentence(photo) {
  const { answer } = photo;
  if (photo.state !== "answered") return photo.words;
  switch (answer.status) {
    case "ok":
      return `Taken in ${answer.scene}${error(answer)}.${sureness(answer)}`;
    case "approximate":
      return `Taken in ${answer.scene}, but nothing exact was found: this is where ${answer.method} started${error(answer)}.`;
    case "outside_map":
      return `In ${answer.scene}, ${rough(answer.outside_m, answer.units)} outside the ground that can be walked on${error(answer)}.${sureness(answer)}`;
    default:
      return answer.note ?? (answer.outside_m
        ? `Not localized: ${rough(answer.outside_m, answer.units)} outside the floor map of ${answer.scene} is too far to be believed.`
        : `Not localized: it resembles nothing in ${answer.scene}.`);
  }
}

function error({ expected_error: expected, units }) {
  return expected ? `, give or take ${rough(expected.position_m, units)} and ${degrees(expected.rotation_deg)}` : "";
}

/** How sure an answer is, or what else is known of it. */
function sureness({ confidence, method, note }) {
  if (confidence !== null) return ` It is ${confidenceWords({ confidence })}.`;
  if (note) return ` ${note[0].toUpperCase()}${note.slice(1)}.`;
  return method === "structure" ? " It was found on the map's own points." : "";
}

export function confidenceWords({ confidence, method }) {
  if (confidence === null) return method === "structure" ? "not known in numbers: found on the map's own points" : "not known";
  const percent = 100 * confidence;
  const text = percent > 0 && percent < 1 ? "under 1 %" : percent > 99 && percent < 100 ? "over 99 %" : `${percent.toFixed(0)} %`;
  return `${text} sure to be within 0.25 m and 5\u00b0`;
}
