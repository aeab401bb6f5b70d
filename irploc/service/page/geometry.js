// Poses on the ground plane and in the axes that the plots use.

const AXES = { x: 0, y: 1, z: 2 };
const LEAST_LEVEL = 0.1; // of a viewing direction on the plane; less is no heading

/** A vector turned by a unit quaternion w x y z. */
export function rotate([w, x, y, z], [a, b, c]) {
  const [tx, ty, tz] = [2 * (y * c - z * b), 2 * (z * a - x * c), 2 * (x * b - y * a)];
  return [a + w * tx + y * tz - z * ty, b + w * ty + z * tx - x * tz, c + w * tz + x * ty - y * tx];
}

/** Where a camera looks, in the world. */
export const ahead = (quaternion) => rotate(quaternion, [0, 0, 1]);

/** The world direction that is up where a plan's axes go right and upwards: their cross product. */
export function upOf({ right, up }) {
  const [i, j] = [AXES[right], AXES[up]];
  const axis = 3 - i - j;
  return { axis, sign: (i + 1) % 3 === j ? 1 : -1 };
}

/** [x, y] on a plan of a world point or direction. */
export const onPlan = (plane, point) => [point[AXES[plane.right]], point[AXES[plane.up]]];

/** [x, y, height] with height upwards: as onPlan, for the view in space. */
export function inSpace(plane, point) {
  const { axis, sign } = upOf(plane);
  return [...onPlan(plane, point), sign * point[axis]];
}

/** What the three axes of inSpace are called. */
export function axisNames(plane) {
  const { axis, sign } = upOf(plane);
  return [plane.right, plane.up, `${sign < 0 ? "\u2212" : ""}${"xyz"[axis]}`];
}

/** Unit direction on the plan in which a camera looks, or null where it looks up or down. */
export function headingOnPlan(plane, quaternion) {
  const [x, y] = onPlan(plane, ahead(quaternion));
  const length = Math.hypot(x, y);
  return length > LEAST_LEVEL ? [x / length, y / length] : null;
}

/** Degrees above the horizon at which a camera looks. */
export function tiltDeg(plane, quaternion) {
  const { axis, sign } = upOf(plane);
  return (Math.asin(Math.max(-1, Math.min(1, sign * ahead(quaternion)[axis]))) * 180) / Math.PI;
}

/** Lines of a camera's frustum in space: arrays x, y, z with null between the strokes. */
export function frustum(plane, center, quaternion, depth, halfWidth = 0.5, halfHeight = 0.38) {
  const at = (vector) => inSpace(plane, rotate(quaternion, vector).map((value, row) => center[row] + depth * value));
  const corners = [[-1, -1], [1, -1], [1, 1], [-1, 1]].map(([i, j]) => at([i * halfWidth, j * halfHeight, 1]));
  const apex = inSpace(plane, center);
  const top = at([0, -halfHeight * 1.6, 1]); // a mark over the picture's upper edge
  const strokes = [[...corners, corners[0]], ...corners.map((corner) => [apex, corner]), [corners[0], top, corners[1]]];
  return asLines(strokes);
}

/** Strokes of points as the arrays that plots take. */
export function asLines(strokes) {
  const lines = { x: [], y: [], z: [] };
  for (const stroke of strokes) {
    for (const [x, y, z] of stroke) {
      lines.x.push(x);
      lines.y.push(y);
      lines.z.push(z ?? 0);
    }
    for (const name of ["x", "y", "z"]) lines[name].push(null);
  }
  return lines;
}

/** A walk's points in strokes that end where it jumps. */
export function strokesOf(walk, place) {
  const gaps = new Set(walk.gaps_after);
  const strokes = [[]];
  walk.centers_m.forEach((center, row) => {
    strokes.at(-1).push(place(center));
    if (gaps.has(row)) strokes.push([]);
  });
  return strokes.filter((stroke) => stroke.length);
}
