"""Brings a scene into the frame and scale of its building: what `irploc scene align` does, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from irploc.errors import BadInput
from irploc.geometry.similarity import AlignmentStep, Similarity
from irploc.mapping.align_steps import Freedom, distance_step, plan_step, points_step, positions_step, upright_step
from irploc.mapping.align_store import aligned
from irploc.mapping.known_distances import Distance
from irploc.mapping.known_points import NO_POINTS, NamedPoints, read_points
from irploc.mapping.known_positions import KnownPositions, positions_of_photos, read_positions, read_trajectory
from irploc.scene import Scene


@dataclass(frozen=True)
class AlignOptions:
    """What is known of a place.

    Attributes:
        distances: between points, metres.
        points: table of points in the scene: clicks, coordinates or numbers of its sparse model.
        known: table of the same points in the building, metres.
        positions: table of camera positions, metric or geographic.
        gps: take camera positions from the photos' EXIF.
        trajectory, fps, offset_s: TUM trajectory; frame k of the video was taken at the time that the folder's
            ``times.csv`` gives, else at k / fps, plus offset_s.
        plan_points: table of points on a floor plan, metres.
        upright: z up, by the cameras and level surfaces; with ``floor``, z = 0 on the lowest large one.
        keep_scale: whether known coordinates leave the scale alone; None: where distances are given too, and where they are
            a plan's and the scene is in metres.
        keep_upright: whether known coordinates only turn the scene about z; ``upright`` and ``plan_points`` imply it.
        max_error_m: largest residual of what agrees; None: by the kind and extent of the coordinates.
        seed: of RANSAC.
    """

    distances: tuple[Distance, ...] = ()
    points: Path | None = None
    known: Path | None = None
    positions: Path | None = None
    gps: bool = False
    trajectory: Path | None = None
    fps: float | None = None
    offset_s: float = 0.0
    plan_points: Path | None = None
    upright: bool = False
    floor: bool = True
    keep_scale: bool | None = None
    keep_upright: bool = False
    max_error_m: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Alignment:
    """What was found.

    Attributes:
        scene: after the new steps; nothing is written yet.
        steps: the new steps, in order.
        similarity: of all new steps together.
        notes: what the user should know.
    """

    scene: Scene
    steps: tuple[AlignmentStep, ...]
    similarity: Similarity
    notes: tuple[str, ...]


def align_scene(scene: Scene, folder: Path, options: AlignOptions) -> Alignment:
    """Works out the steps in this order: scale by distances, upright, known coordinates. Writes nothing.

    Args:
        folder: of the scene, for its sparse model.

    Raises:
        BadInput: nothing asked for, options that do not go together, and whatever a step refuses, with the reason.
    """
    _check(scene, options)
    points = read_points(options.points, scene, folder) if options.points else NO_POINTS
    steps: list[AlignmentStep] = []
    notes: list[str] = []
    total, current = Similarity(), scene
    for make in _makers(options, folder):
        step, told = make(current, points.moved(total), total)
        current, total = aligned(current, step), step.similarity.compose(total)
        steps.append(step)
        notes += told
    return Alignment(current, tuple(steps), total, tuple(notes))


_Maker = Callable[[Scene, NamedPoints, Similarity], tuple[AlignmentStep, list[str]]]


def _makers(options: AlignOptions, folder: Path) -> Iterator[_Maker]:
    """What makes the steps: takes the scene as it is by then, the points in its frame, and that frame from the first one."""
    keep_scale = True if options.distances else options.keep_scale
    freedom = Freedom(keep_scale, options.upright or options.keep_upright, options.max_error_m, options.seed)
    if options.distances:
        yield lambda scene, points, moved: distance_step(scene, folder, points, options.distances, moved)
    if options.upright:
        yield lambda scene, points, moved: upright_step(scene, folder, moved, options.floor)
    if options.known:
        path = options.known
        yield lambda scene, points, moved: points_step(scene, points, path, freedom)
    if options.plan_points:
        plan = options.plan_points
        yield lambda scene, points, moved: plan_step(scene, points, plan, freedom)
    reader = _position_reader(options, folder, freedom.keep_upright)
    if reader:
        method, read = reader
        yield lambda scene, points, moved: positions_step(scene, method, read(scene), freedom)


def _position_reader(
    options: AlignOptions, folder: Path, level: bool
) -> tuple[str, Callable[[Scene], KnownPositions]] | None:
    if options.positions:
        path = options.positions
        return "positions", lambda scene: read_positions(path, scene)
    if options.gps:
        return "gps", lambda scene: positions_of_photos(scene, level)
    if options.trajectory:
        trajectory = options.trajectory
        return "trajectory", lambda scene: read_trajectory(trajectory, scene, folder, options.fps, options.offset_s)
    return None


def _check(scene: Scene, options: AlignOptions) -> None:
    sources = {
        "--known": options.known,
        "--positions": options.positions,
        "--gps": options.gps,
        "--trajectory": options.trajectory,
        "--plan-points": options.plan_points,
    }
    given = [name for name, value in sources.items() if value]
    if options.points and not (options.known or options.distances or options.plan_points):
        raise BadInput("--points alone aligns nothing: give --known, --distance or --plan-points, which use their names")
    if not given and not options.distances and not options.upright:
        raise BadInput(f"nothing to align by: give --distance, --upright, or one of {', '.join(sources)}; --show and --undo")
    if len(given) > 1:
        raise BadInput(f"{' and '.join(given)} each fix the whole frame: give one of them at a time")
    if options.known and not options.points:
        raise BadInput("--known says where points are in the building; give --points to say where they are in the scene")
    if not options.floor and not options.upright:
        raise BadInput("--no-floor goes with --upright")
    if options.max_error_m is not None and not options.max_error_m > 0:
        raise BadInput(f"--max-error is {options.max_error_m:g}, expected metres above zero")
    if options.keep_scale and scene.units != "metres" and not options.distances:
        raise BadInput(
            f"the scene's units are {scene.units!r}, so --keep-scale would keep no metres: leave it out, or --distance"
        )
    if options.keep_scale is False and options.distances:
        raise BadInput("--distance fixes the scale: leave --free-scale out")
