"""How well `irploc scene align` does on a scene made of the 7-Scenes kitchen, against its ground truth and depth maps.

    python scripts/check_align.py scenes/hall ../shared/data/7scenes/redkitchen

SCENE is a scene of the photos or video of seq-01, in any frame and scale; the ``index`` of its photos is the frame number.
Clicks are points of the depth maps, projected by the true poses into three photos of the scene from directions well apart,
where their depth maps see them too, with noise of one pixel. The true poses were made without lens distortion, but the
photos have some (every mapping finds the same); so the pixels are once those that the scene's lens gives, and once those
without distortion, both in the middle of the photos. Every figure is of many draws of such clicks. Nothing is written.

Level surfaces are found in the depth maps by themselves: normals of neighbouring pixels that point up on the whole, the most
frequent direction of these, the layers of points with that normal, and a plane through each.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from irploc.depth import depth_path, depth_sensor, read_depth
from irploc.errors import IrplocError
from irploc.geometry import rotations
from irploc.geometry.cameras import cam_from_world, world_from_cam
from irploc.geometry.poses import pose_errors
from irploc.geometry.similarity import Similarity
from irploc.mapping.align import AlignOptions, align_scene
from irploc.mapping.align_estimate import fit_closed_form
from irploc.mapping.known_distances import Distance
from irploc.pointcloud import frame_points
from irploc.projection import project_points
from irploc.readers import READERS, ReadOptions
from irploc.scene import Scene

CLICK_PX = 1.0
LENSES = ("scene", "truth")
PHOTOS_PER_POINT = 3
BORDER_PX = 120.0
CHOICES = 20
SAME_DEPTH_M = 0.04
LEAST_ANGLE_DEG = 10.0
MOST_PHOTOS = 50
LEAST_LAYER = 0.02  # of the level pixels
SHORTEST_M = 2.0


@dataclass(frozen=True)
class Truth:
    """The photos of a scene with their true poses, and the depth maps of those rows that have one."""

    scene: Scene
    depths: dict[int, np.ndarray]

    @classmethod
    def read(cls, folder: Path, mine: Scene, lens: str) -> Truth:
        """Those of the frames whose numbers ``mine`` has, with its lens or with that of the true poses (scene or truth)."""
        read = READERS.get("7scenes")(folder, ReadOptions(ground_truth=folder / "pgt_sfm.txt"))
        whole = Scene("truth", read.image_root, read.frames, read.cameras, read.ground_truth, "7scenes")
        row_of = {int(index): row for row, index in enumerate(whole.frames.indices)}
        rows = [row_of[int(index)] for index in mine.frames.indices]
        scene = replace(whole, frames=whole.frames[rows])
        if lens == "scene":
            cameras = whole.cameras | mine.cameras
            scene = replace(scene, cameras=cameras, frames=replace(scene.frames, cameras=mine.frames.cameras))
        paths = [depth_path(image) for image in scene.frames.images]
        return cls(scene, {row: read_depth(path) for row, path in enumerate(paths) if path is not None})

    def sees(self, row: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (M, 2) of world points in a photo, and whether its depth map sees them there, away from the border."""
        camera = self.scene.cameras[self.scene.frames.cameras[row]]
        local = cam_from_world(points, self.scene.frames.poses[[row]])
        pixels = project_points(camera, local)
        sensor = depth_sensor("7scenes", camera)
        back = np.linalg.inv(sensor.photo_from_depth)
        in_sensor = local @ back[:3, :3].T + back[:3, 3]
        where = project_points(sensor.camera, in_sensor)
        height, width = self.depths[row].shape
        with np.errstate(invalid="ignore"):
            seen = np.all((pixels > BORDER_PX) & (pixels < np.array([camera.width, camera.height]) - BORDER_PX), axis=1)
            seen &= np.all((where >= 0) & (where < (width, height)), axis=1)
        column, line = np.where(seen[:, None], where, 0).astype(np.int64).T
        with np.errstate(invalid="ignore"):
            return pixels, seen & (np.abs(self.depths[row][line, column] - in_sensor[:, 2]) < SAME_DEPTH_M)


@dataclass(frozen=True)
class Clicked:
    """True world points (K, 3), and of each the rows of some photos and its pixels there."""

    points: np.ndarray
    rows: list[list[int]]
    pixels: list[np.ndarray]


def clickable(truth: Truth, count: int, seed: int) -> Clicked:
    """Points that at least three photos see from places well apart."""
    generator, frames = np.random.default_rng(seed), truth.scene.frames
    points, rows_of, pixels_of = [], [], []
    measured = np.array(sorted(truth.depths))
    every = measured[np.unique(np.linspace(0, len(measured) - 1, MOST_PHOTOS).round().astype(int))].tolist()
    while len(points) < count:
        row = int(generator.choice(measured))
        found = frame_points(truth.scene, row, 40, seed)
        if found is None or not len(found):
            continue
        world = world_from_cam(found[generator.integers(len(found))][None], frames.poses[[row]])
        seen = [(other, truth.sees(other, world)) for other in every]
        rows = [other for other, (_, visible) in seen if visible[0]]
        if len(rows) < PHOTOS_PER_POINT:
            continue
        rays = world - frames.poses.centers_m[rows]
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        best = _far_apart(rays)
        if np.degrees(np.arccos(np.clip(rays[best] @ rays[best].T, -1, 1))).max() < LEAST_ANGLE_DEG:
            continue
        chosen = [rows[number] for number in best]
        points.append(world[0])
        rows_of.append(chosen)
        pixels_of.append(np.stack([truth.sees(other, world)[0][0] for other in chosen]))
    return Clicked(np.array(points), rows_of, pixels_of)


def _far_apart(rays: np.ndarray) -> list[int]:
    """Numbers of the rays that are furthest from each other, one after the other."""
    products = rays @ rays.T
    chosen = list(np.unravel_index(np.argmin(products), products.shape))
    while len(chosen) < PHOTOS_PER_POINT:
        chosen.append(int(np.argmin(products[chosen].max(axis=0))))
    return [int(number) for number in chosen]


def write_clicks(scene: Scene, clicked: Clicked, chosen: np.ndarray, folder: Path, seed: int) -> AlignOptions:
    """The two tables for some of the points, with noisy pixels."""
    noise = np.random.default_rng(seed)
    clicks, known = ["name,image,u,v"], ["name,x,y,z"]
    for number in chosen:
        known.append(f"p{number}," + ",".join(repr(float(value)) for value in clicked.points[number]))
        for row, pixel in zip(clicked.rows[number], clicked.pixels[number], strict=True):
            u, v = pixel + CLICK_PX * noise.standard_normal(2)
            clicks.append(f"p{number},{scene.frames.names[row]},{u:.2f},{v:.2f}")
    (folder / "clicks.csv").write_text("\n".join(clicks) + "\n")
    (folder / "known.csv").write_text("\n".join(known) + "\n")
    return AlignOptions(points=folder / "clicks.csv", known=folder / "known.csv")


def check_scale(
    scene: Scene, folder: Path, clicked: Clicked, scale: float, distances: int, draws: int, most_uncertain: float
) -> tuple[list[float], int]:
    """Relative scale errors of draws with a printed uncertainty up to ``most_uncertain``, and how many were refused."""
    errors, refused = [], 0
    with tempfile.TemporaryDirectory() as name:
        for draw in range(draws):
            chosen = _drawn_pairs(clicked.points, distances, draw)
            options = write_clicks(scene, clicked, np.unique(chosen), Path(name), draw)
            known = tuple(
                Distance(f"p{a}", f"p{b}", float(np.linalg.norm(clicked.points[a] - clicked.points[b]))) for a, b in chosen
            )
            try:
                found = align_scene(scene, folder, AlignOptions(distances=known, points=options.points))
            except IrplocError:
                refused += 1
                continue
            if found.steps[0].inputs["scale_uncertainty"] <= most_uncertain:
                errors.append(abs(found.similarity.scale / scale - 1))
    return errors, refused


def _drawn_pairs(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """(count, 2) numbers of points at least ``SHORTEST_M`` apart."""
    generator, pairs = np.random.default_rng(seed), []
    while len(pairs) < count:
        a, b = generator.choice(len(points), 2, replace=False)
        if np.linalg.norm(points[a] - points[b]) >= SHORTEST_M:
            pairs.append((a, b))
    return np.array(pairs)


def check_points(
    scene: Scene, folder: Path, clicked: Clicked, truth: Truth, count: int, draws: int
) -> tuple[list[float], int]:
    """Median camera position errors (m) of alignments by ``count`` points far apart."""
    errors, refused = [], 0
    with tempfile.TemporaryDirectory() as name:
        for draw in range(draws):
            chosen = _drawn_wide(clicked.points, count, draw)
            try:
                found = align_scene(scene, folder, write_clicks(scene, clicked, chosen, Path(name), draw))
            except IrplocError:
                refused += 1
                continue
            errors.append(float(np.median(pose_errors(found.scene.frames.poses, truth.scene.frames.poses)[0])))
    return errors, refused


def _drawn_wide(points: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The widest of twenty random choices: users are told to take points far apart."""
    generator = np.random.default_rng(seed)
    choices = [generator.choice(len(points), count, replace=False) for _ in range(CHOICES)]
    return max(choices, key=lambda chosen: np.linalg.svd(points[chosen] - points[chosen].mean(axis=0))[1][1])


@dataclass(frozen=True)
class Levels:
    """What the depth maps say: up, and of the floor and the worktop the height, the normal and the share of level pixels."""

    up: np.ndarray
    floor: float
    floor_normal: np.ndarray
    strongest: float
    strongest_normal: np.ndarray


def levels_of_depth(truth: Truth) -> Levels:
    """Level surfaces of the depth maps alone."""
    points, normals = zip(*[_normals(truth, row) for row in truth.depths], strict=True)
    point, normal = np.concatenate(points), np.concatenate(normals)
    held = rotations.rotate(truth.scene.frames.poses.world_from_cam_wxyz, [0.0, -1.0, 0.0]).mean(axis=0)
    held /= np.linalg.norm(held)
    upward = normal @ held > np.cos(np.radians(50))
    point, normal = point[upward], normal[upward]
    starts = normal[:: max(1, len(normal) // 500)]
    up = starts[int(np.argmax([(normal @ start > np.cos(np.radians(5))).sum() for start in starts]))]
    for _ in range(20):
        up = normal[normal @ up > np.cos(np.radians(5))].mean(axis=0)
        up /= np.linalg.norm(up)
    level = point[normal @ up > np.cos(np.radians(5))]
    for _ in range(3):  # the normals of a depth sensor lean; planes through many points do not
        floor, strongest = _layers(level @ up)
        planes = [_plane(level, up, height) for height in (floor, strongest)]
        up = planes[1][1]
    return Levels(up, float(np.median(planes[0][0] @ up)), planes[0][1], float(np.median(planes[1][0] @ up)), planes[1][1])


def _layers(heights: np.ndarray) -> tuple[float, float]:
    """Heights of the lowest large layer and of the most frequent one."""
    counts, edges = np.histogram(heights, np.arange(heights.min(), heights.max() + 0.03, 0.03))
    tops = [k for k in range(len(counts)) if counts[k] == counts[max(0, k - 3) : k + 4].max()]
    large = [k for k in tops if counts[max(0, k - 1) : k + 2].sum() > LEAST_LAYER * len(heights)]
    return float(edges[min(large)] + 0.015), float(edges[max(large, key=lambda k: counts[k])] + 0.015)


def _normals(truth: Truth, row: int) -> tuple[np.ndarray, np.ndarray]:
    """World points and normals of every eighth pixel of a depth map."""
    depth = truth.depths[row]
    camera = truth.scene.cameras[truth.scene.frames.cameras[row]]
    sensor, step = depth_sensor("7scenes", camera), 8
    line, column = np.mgrid[0 : depth.shape[0] : step, 0 : depth.shape[1] : step]
    pixels = np.stack([column, line], axis=-1) + 0.5
    grid = sensor.camera.unproject(pixels, depth[::step, ::step].astype(np.float64))
    across, down = grid[:-1, 1:] - grid[:-1, :-1], grid[1:, :-1] - grid[:-1, :-1]
    normal = np.cross(down, across)
    with np.errstate(invalid="ignore"):
        near = (np.linalg.norm(across, axis=-1) < 0.1) & (np.linalg.norm(down, axis=-1) < 0.1)
    normal, local = normal[near], grid[:-1, :-1][near]
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    turn = sensor.photo_from_depth[:3, :3]
    pose = truth.scene.frames.poses[[row]]
    world = world_from_cam(local @ turn.T + sensor.photo_from_depth[:3, 3], pose)
    return world, rotations.rotate(pose.world_from_cam_wxyz[0], normal @ turn.T)


def _plane(points: np.ndarray, up: np.ndarray, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Points and normal of the layer at ``height`` along ``up``."""
    members = points[np.abs(points @ up - height) < 0.04]
    normal = np.linalg.svd((members - members.mean(axis=0))[:: max(1, len(members) // 20000)], full_matrices=False)[2][-1]
    return members, normal * np.sign(normal @ up)


def check_upright(scene: Scene, folder: Path, truth: Truth) -> None:
    """Prints the angle between z and the depth maps' level surfaces, and the height of z = 0 above their floor."""
    to_truth = _to_truth(scene, truth)
    levels, found = levels_of_depth(truth), align_scene(scene, folder, AlignOptions(upright=True))
    truth_from_upright = to_truth.compose(found.similarity.inverse())
    up = rotations.rotate(truth_from_upright.rotation_wxyz, [0.0, 0.0, 1.0])
    below = truth_from_upright.apply(found.similarity.apply(scene.frames.poses.centers_m) * [1.0, 1.0, 0.0])
    print(
        f"upright: z is {_angle(up, levels.floor_normal):.2f} deg from the normal of the depth maps' floor and "
        f"{_angle(up, levels.strongest_normal):.2f} from that of their most frequent level surface"
    )
    print(
        f"  z = 0 is {100 * abs(float(np.median(below @ levels.up)) - levels.floor):.1f} cm from the depth maps' floor, "
        f"which is {100 * (levels.strongest - levels.floor):.0f} cm below that surface"
    )


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, other)), one @ other)))


def line(title: str, errors: list[float], refused: int, unit: str) -> str:
    """All errors are shares or metres, and 1 % or 1 cm is what is asked for."""
    if not errors:
        return f"{title}: no draws left, {refused} refused"
    values = 100 * np.array(errors)
    return (
        f"{title}: median {np.median(values):.2f} {unit}, worst {values.max():.2f}, {np.mean(values <= 1):.0%} within "
        f"1 {unit} ({len(errors)} draws, {refused} refused)"
    )


def check_lens(scene: Scene, folder: Path, dataset: Path, lens: str, points: int, draws: int) -> Truth:
    """Prints what distances and points give, with clicks through one lens."""
    truth = Truth.read(dataset, scene, lens)
    scale = _to_truth(scene, truth).scale
    clicked = clickable(truth, points, seed=0)
    print(f"clicks through the lens of the {'scene' if lens == 'scene' else 'truth, without distortion'}:")
    for count, most_uncertain in ((1, np.inf), (1, 0.005), (3, np.inf)):
        result = check_scale(scene, folder, clicked, scale, count, draws, most_uncertain)
        told = f", called sure to {most_uncertain:.1%}" if np.isfinite(most_uncertain) else ""
        print(line(f"  scale from distances of {SHORTEST_M:g} m or more, {count} at once{told}", *result, "%"))
    for count in (3, 5):
        result = check_points(scene, folder, clicked, truth, count, draws)
        print(line(f"  {count} points, median camera error", *result, "cm"))
    return truth


def _to_truth(scene: Scene, truth: Truth) -> Similarity:
    found = fit_closed_form(scene.frames.poses.centers_m, truth.scene.frames.poses.centers_m)
    if found is None:
        raise SystemExit("the cameras of the scene do not determine its frame")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path, help="scene folder with its sparse model")
    parser.add_argument("dataset", type=Path, help="7-Scenes folder with pgt_sfm.txt, photos and depth maps")
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--points", type=int, default=40, help="points to draw from")
    parser.add_argument("--lens", choices=LENSES, help="one of the two cameras alone")
    arguments = parser.parse_args()
    scene = Scene.load(arguments.scene)
    truth = Truth.read(arguments.dataset, scene, "truth")
    to_truth = _to_truth(scene, truth)
    errors = pose_errors(to_truth.apply_to_poses(scene.frames.poses), truth.scene.frames.poses)
    print(
        f"{scene.name}: {len(scene.frames)} photos; all cameras aligned to the truth: scale {to_truth.scale:.6f}, median "
        f"error {1000 * np.median(errors[0]):.1f} mm, {np.median(errors[1]):.2f} deg"
    )
    for lens in [arguments.lens] if arguments.lens else LENSES:
        truth = check_lens(scene, arguments.scene, arguments.dataset, lens, arguments.points, arguments.draws)
    check_upright(scene, arguments.scene, truth)


if __name__ == "__main__":
    main()
