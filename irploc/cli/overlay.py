"""`irploc overlay`: a scene's points in photos, by estimated and by true poses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, FOLDER, PATH, is_quiet, note, workspace_of

if TYPE_CHECKING:
    import numpy as np

    from irploc.errors import IrplocError
    from irploc.geometry.cameras import Camera
    from irploc.geometry.poses import Poses
    from irploc.pointcloud import PointCloud
    from irploc.scene import Scene

_OCCLUDERS = 200_000
_COLUMNS = (("position", 13), ("rotation", 11), ("mean px", 9), ("median px", 11), ("points", 8))


@dataclass(frozen=True)
class _Photo:
    """A query: its file, what messages and pose files call it, its camera, and its true pose where the scene knows it."""

    path: Path
    name: str
    camera: Camera
    true: Poses | None


@dataclass(frozen=True)
class _Cloud:
    """The points to draw, and (L, 3) further ones, denser, that hide what lies behind."""

    drawn: PointCloud
    occluders_m: np.ndarray


@dataclass(frozen=True)
class _Answer:
    """The pose that is drawn; None with a status that says why not."""

    status: str
    method: str
    pose: Poses | None


@click.command()
@click.argument("scene_name", metavar="SCENE")
@click.argument("images", nargs=-1, metavar="IMAGE...")
@click.option("--method", help="See 'irploc methods'.  [default: fused if a model is trained, else robust]")
@click.option("--poses", type=FILE, help="Draw the poses of this file instead: 'name qw qx qy qz tx ty tz', cam_from_world.")
@click.option(
    "--points",
    type=PATH,
    help="PLY file or COLMAP model.  [default: the scene's own, else its depth maps, else its map of points]",
)
@click.option("--count", type=click.IntRange(min=1), default=20_000, show_default=True, help="Points of the cloud to use.")
@click.option("--split", type=click.Choice(["train", "validation", "test"]), help="Photos of a split instead of IMAGEs.")
@click.option("--limit", type=click.IntRange(min=1), default=12, show_default=True, help="How many photos, with --split.")
@click.option("--focal", type=float, help="Focal length in pixels of photos whose camera the scene does not know.")
@click.option("--out", type=FOLDER, default="overlay", show_default=True, help="Folder for the pictures.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per photo, one per line.")
@click.pass_context
def overlay(
    ctx: click.Context,
    scene_name: str,
    images: tuple[str, ...],
    method: str | None,
    poses: Path | None,
    points: Path | None,
    count: int,
    split: str | None,
    limit: int,
    focal: float | None,
    out: Path,
    as_json: bool,
) -> None:
    """Draw the points of SCENE into photos by their estimated poses and, where known, the true ones.

    Circles are the true pose's, dots the estimated one's. IMAGE is a photo, or the name of one of the scene. The difference
    is the mean distance in pixels between the two drawings of the points that the true pose sees.
    """
    from irploc.errors import IrplocError
    from irploc.files import check_writable
    from irploc.progress import progress

    if bool(images) == bool(split):
        raise click.UsageError("name the photos, or give --split test for some of the scene's")
    if method and poses:
        raise click.UsageError("--method and --poses cannot be used together")
    if focal is not None and not (math.isfinite(focal) and focal > 0):
        raise click.UsageError(f"--focal is {focal}, expected pixels above 0")
    workspace = workspace_of(ctx)
    scene = workspace.load_scene(scene_name)
    found = _of_split(scene, split, limit, focal) if split else [_photo(scene, image, focal) for image in images]
    photos = [photo for photo in found if not isinstance(photo, IrplocError)]
    problems = [str(problem) for problem in found if isinstance(problem, IrplocError)]
    rows: list[dict[str, Any]] = []
    if photos:
        map_file = workspace.model(workspace.embeddings_of(scene_name).stem, "structure")
        cloud = _cloud(scene, workspace.scene_folder(scene_name), points, map_file, count, photos[0].camera)
        paths = _picture_paths([photo.name for photo in photos], out)
        check_writable(paths[0])
        answers = _read_poses(poses, photos) if poses else _localized(workspace.root, scene_name, method, photos)
        with progress("drawing", len(photos), "photos", is_quiet(ctx)) as bar:
            for photo, path, answer in zip(photos, paths, answers, strict=True):
                bar.advance()
                if isinstance(answer, IrplocError):
                    problems.append(str(answer))
                    continue
                rows.append(_overlay(scene, photo, answer, cloud, path))
                if as_json:
                    click.echo(json.dumps(rows[-1]))
    if rows and not as_json:
        _show(rows, scene.units)
    _complain(problems, len(found))


def _of_split(scene: Scene, split: str, limit: int, focal: float | None) -> list[_Photo | IrplocError]:
    """At most ``limit`` frames of a split, spread evenly over it."""
    import numpy as np

    from irploc.errors import BadInput

    rows = np.flatnonzero(scene.frames.splits == split)
    if not len(rows):
        raise BadInput(f"scene {scene.name} has no {split} photos: name photos, or choose another --split")
    some = rows[np.linspace(0, len(rows) - 1, min(limit, len(rows))).round().astype(int)]
    return [_frame(scene, int(row), focal) for row in some]


def _photo(scene: Scene, image: str, focal: float | None) -> _Photo | IrplocError:
    """A frame of the scene, by its file or by its name, or any other photo."""
    from irploc.errors import IrplocError, NotFound
    from irploc.evaluation.names import matching_rows
    from irploc.geometry.cameras import Camera
    from irploc.images import decoded_size
    from irploc.projection import missing_intrinsics

    path, frames = Path(image), scene.frames
    try:
        if not path.exists():
            row = int(matching_rows([image], frames.names, "the command", f"scene {scene.name}")[0])
            if row < 0:
                raise NotFound(f"no photo {image}, neither a file nor a name in scene {scene.name} (as {frames.names[0]})")
            return _frame(scene, row, focal)
        resolved = path.resolve()
        for row, known in enumerate(frames.images):
            if known.name == path.name and known.resolve() == resolved:
                return _frame(scene, row, focal)
        width, height = decoded_size(path)
        cameras = set(scene.cameras.values())
        if focal is not None:
            return _Photo(path, image, Camera("SIMPLE_PINHOLE", width, height, (focal, width / 2, height / 2)), None)
        if len(cameras) == 1 and (width, height) == ((only := cameras.pop()).width, only.height):
            return _Photo(path, image, only, None)
        raise missing_intrinsics(f"{image} ({width}x{height})")
    except IrplocError as error:
        return error


def _frame(scene: Scene, row: int, focal: float | None) -> _Photo | IrplocError:
    from irploc.errors import BadInput, IrplocError
    from irploc.geometry.cameras import Camera
    from irploc.images import decoded_size
    from irploc.projection import missing_intrinsics

    frames = scene.frames
    path, name, camera = frames.images[row], frames.names[row], scene.cameras.get(frames.cameras[row])
    try:
        width, height = decoded_size(path)
        if camera is None:
            if focal is None:
                raise missing_intrinsics(name)
            camera = Camera("SIMPLE_PINHOLE", width, height, (focal, width / 2, height / 2))
        if (width, height) != (camera.width, camera.height):
            raise BadInput(f"{path} is {width}x{height}, but its camera is for {camera.width}x{camera.height}")
    except IrplocError as error:
        return error
    return _Photo(path, name, camera, frames.poses[[row]])


def _cloud(scene: Scene, folder: Path, points: Path | None, map_file: Path, count: int, camera: Camera) -> _Cloud:
    """What to draw."""
    import numpy as np

    from irploc.depth import depth_path
    from irploc.errors import NotFound
    from irploc.pointcloud import check_frame, load_points, points_from_depth, scene_points

    whole = load_points(points) if points else scene_points(folder)
    if whole is None and map_file.is_file() and not any(map(depth_path, scene.frames.of_split("train").images)):
        whole = _points_of_map(map_file)
    if whole is not None:
        check_frame(whole, scene, camera)
        return _Cloud(whole.sampled(count), whole.sampled(_OCCLUDERS).points_m)
    mapping = np.flatnonzero(scene.frames.splits == "train")
    cloud = points_from_depth(scene, mapping, count, on_edges=True)
    dense = points_from_depth(scene, mapping, _OCCLUDERS)
    if cloud is None or dense is None:
        raise NotFound(
            f"scene {scene.name} has no points (sparse/ or points.ply in {folder}), its mapping photos no depth maps "
            f"(<stem>.depth.png beside them): give --points PLY_OR_COLMAP in the scene's frame, or make a map with "
            f"'irploc triangulate {scene.name}'"
        )
    check_frame(cloud, scene, camera)
    return _Cloud(cloud, dense.points_m)


def _points_of_map(path: Path) -> PointCloud:
    """The points that method ``structure`` localizes on."""
    from irploc.pointcloud import PointCloud
    from irploc.structure.mapfile import load_map

    return PointCloud(load_map(path).points_m, None, path.name)


def _localized(root: Path, scene_name: str, method: str | None, photos: list[_Photo]) -> Iterator[_Answer | IrplocError]:
    from irploc.errors import IrplocError
    from irploc.localizer import Localizer

    localizer = Localizer.open(scene_name, method, workspace=root)
    for sentence in localizer.notes:
        note(sentence)
    for answer in localizer.localize_many([photo.path for photo in photos]):
        if isinstance(answer, IrplocError):
            yield answer
        else:
            yield _Answer(answer.status, answer.method, answer.pose if answer.pose.valid[0] else None)


def _read_poses(path: Path, photos: list[_Photo]) -> Iterator[_Answer]:
    from irploc.evaluation import read_pose_file

    found = read_pose_file(path).for_names([photo.name for photo in photos], "the photos given")
    for pose in found:
        is_there = bool(pose.valid[0])
        yield _Answer("ok" if is_there else "not in the pose file", path.name, pose if is_there else None)


def _picture_paths(names: list[str], out: Path) -> list[Path]:
    """``<stem>.overlay.png``, with the folders in front where two photos would get the same."""
    from collections import Counter

    stems = [Path(name).stem for name in names]
    counts = Counter(stems)
    whole = ["-".join(part for part in Path(name).with_suffix("").parts if part not in ("/", "..")) for name in names]
    return [out / f"{stem if counts[stem] == 1 else long}.overlay.png" for stem, long in zip(stems, whole, strict=True)]


def _overlay(scene: Scene, photo: _Photo, answer: _Answer, cloud: _Cloud, path: Path) -> dict[str, Any]:
    """Draws and writes one picture; the facts about it."""
    from irploc.geometry.poses import pose_errors
    from irploc.images import decode_image
    from irploc.overlay import NEAR_M, Caption, draw_overlay, reprojection_difference, visible_points, write_overlay

    facts: dict[str, Any] = {"image": photo.name, "status": answer.status, "method": answer.method, "scene": scene.name}
    facts |= dict.fromkeys(("position_m", "rotation_deg", "mean_px", "median_px", "points", "capped", "picture"))
    facts |= {"units": scene.units, "ground_truth": scene.ground_truth, "cloud": cloud.drawn.source}
    if answer.pose is None:
        return facts
    near = NEAR_M if scene.units == "metres" else 0.0
    points, pose = cloud.drawn.points_m, photo.true or answer.pose
    seen = points[visible_points(points, photo.camera, pose, near, cloud.occluders_m)]
    facts["points"] = len(seen)
    if photo.true is not None:
        position, rotation = pose_errors(answer.pose, photo.true)
        apart = reprojection_difference(seen, photo.camera, answer.pose, photo.true)
        facts |= {"position_m": round(float(position[0]), 6), "rotation_deg": round(float(rotation[0]), 6)}
        if apart.points:
            facts |= {"mean_px": round(apart.mean_px, 4), "median_px": round(apart.median_px, 4)}
        facts["capped"] = apart.capped
    caption = Caption(answer.method, _result_in_words(facts), f"{photo.name}, points from {cloud.drawn.source}")
    picture = draw_overlay(decode_image(photo.path), photo.camera, seen, answer.pose, photo.true, caption)
    write_overlay(path, picture, {name: str(facts[name]) for name in ("image", "method", "scene", "ground_truth", "cloud")})
    return {**facts, "picture": str(path)}


def _result_in_words(facts: dict[str, Any]) -> str:
    if facts["position_m"] is None:
        return "true pose not known"
    unit = "m" if facts["units"] == "metres" else f"({facts['units']})"
    apart = "no point is seen" if facts["mean_px"] is None else f"{facts['mean_px']:.1f} px apart on average"
    return f"{facts['position_m']:.3f} {unit}, {facts['rotation_deg']:.2f} deg, {apart}"


def _show(rows: list[dict[str, Any]], units: str) -> None:
    """A table, a line of means, and what was written."""
    width = max(len(row["image"]) for row in rows)
    click.echo("photo".ljust(width) + "".join(title.rjust(size) for title, size in _COLUMNS))
    unit = "m" if units == "metres" else ""
    for row in rows:
        if row["picture"] is None:
            click.echo(f"{row['image'].ljust(width)}  {row['status']}: no picture")
            continue
        errors = (_cell(row["position_m"], 3, unit), _cell(row["rotation_deg"], 2, "deg"))
        cells = (*errors, _cell(row["mean_px"], 1), _cell(row["median_px"], 1), str(row["points"]))
        click.echo(row["image"].ljust(width) + "".join(c.rjust(size) for c, (_, size) in zip(cells, _COLUMNS, strict=True)))
    drawn = [row for row in rows if row["picture"]]
    measured = [row for row in drawn if row["mean_px"] is not None]
    if len(measured) > 1:
        import numpy as np

        means = [row["mean_px"] for row in measured]
        words = f"mean of the means {np.mean(means):.1f} px, median of the means {np.median(means):.1f} px"
        click.echo(f"{len(measured)} photos: {words}")
    if capped := sum(row["capped"] for row in measured):
        note(f"{capped} points are behind the estimated camera or further off than the photo's diagonal; they count as that")
    if drawn:
        note(f"{Path(drawn[0]['picture']).parent}: {len(drawn)} picture{'s' if len(drawn) > 1 else ''}")


def _cell(value: float | None, digits: int, unit: str = "") -> str:
    return "-" if value is None else f"{value:.{digits}f} {unit}".rstrip()


def _complain(problems: list[str], total: int) -> None:
    from irploc.errors import BadInput

    if problems:
        raise BadInput(problems[0] if total == 1 else f"{len(problems)} of {total} photos failed; first: {problems[0]}")
