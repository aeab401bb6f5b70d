"""`irploc triangulate`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, workspace_of

if TYPE_CHECKING:
    from irploc.estimators.build import Place
    from irploc.scene import Scene
    from irploc.structure.build import Calibrate, MapReport
    from irploc.structure.options import MapOptions
    from irploc.structure.pointmap import PointMap

_DAMAGE_OR_OTHER = "--from-scratch makes it again"


@click.command()
@click.argument("scene_name", metavar="SCENE")
@click.option("--embeddings", type=FILE, help="HDF5 file of the scene.  [default: embeddings/<scene>.h5]")
@click.option("--key-photos", help="auto (those that show what others do not), all, or how many.  [default: auto]")
@click.option("--pairs", type=int, help="Similar photos each photo is matched with.  [default: 20]")
@click.option("--max-features", type=int, help="SIFT features a photo.  [default: 4096]")
@click.option("--max-side", type=int, help="Pixels that larger photos are reduced to for features.  [default: 1600]")
@click.option("--seed", type=SEED, help="Of every random choice.  [default: 0]")
@click.option(
    "--sparse", is_flag=True, default=None, help="Take the points of the model that 'irploc scene build' left; no matching."
)
@click.option("--from-scratch", is_flag=True, help="Make the map anew, instead of taking in the photos that came since.")
@click.option("--calibration/--no-calibration", default=True, help="Learn what confidence the answers deserve.")
@click.option("--keep", is_flag=True, help="Keep the work's folder (features, matches) when done.")
@click.option("--out", type=FILE, help="Map file.  [default: models/<scene>.structure.pt]")
@click.pass_context
def triangulate(
    ctx: click.Context,
    scene_name: str,
    embeddings: Path | None,
    from_scratch: bool,
    calibration: bool,
    keep: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Make the map of 3D points of SCENE (a folder or a name in the workspace) for the method 'structure'.

    Its photos need poses, intrinsics and embeddings. They are matched with similar ones, and their points triangulated with
    the known poses. Run again after photos came in, it takes these in alone. An interrupted run goes on where it was.
    """
    from irploc.errors import NotFound
    from irploc.estimators.build import open_place
    from irploc.localizer.current import check_map
    from irploc.structure.mapfile import METHOD
    from irploc.structure.work import remove_work

    workspace = workspace_of(ctx)
    folder, scene = workspace.scene_folder(scene_name), workspace.load_scene(scene_name)
    known = embeddings or workspace.embeddings_of(scene_name)
    if not known.is_file():
        raise NotFound(f"no embeddings {known}: make them with 'irploc embed {scene_name}'")
    place = open_place(workspace, scene_name, known)
    try:
        if newer := check_map(place.store, scene):
            note(newer)
        path = out or place.model_path(METHOD)
        started = time.monotonic()
        try:
            report = _made(ctx, place, scene, folder, path, settings, from_scratch, calibration, keep)
        except KeyboardInterrupt:
            note(f"interrupted; what was done is beside {path}: run the same command again to go on")
            raise
    finally:
        place.store.close()
    if report is None:
        if not keep:
            remove_work(path)
        click.echo(f"{path}: has all {len(place.index.frames)} mapping photos of {scene.name} already")
    else:
        _tell(report, path, time.monotonic() - started)
        note(f"next: irploc localize PHOTO --scene {place.name} --method structure")


def _made(
    ctx: click.Context,
    place: Place,
    scene: Scene,
    folder: Path,
    path: Path,
    settings: dict[str, Any],
    from_scratch: bool,
    calibration: bool,
    keep: bool,
) -> MapReport | None:
    """The map made or extended; None where there was nothing to do."""
    from irploc.files import is_stream
    from irploc.progress import progress
    from irploc.structure.append import extend_map, new_photos
    from irploc.structure.build import build_map
    from irploc.structure.current import check_map
    from irploc.structure.sparse import scene_model

    def stages(title: str, total: int, unit: str) -> Any:
        return progress(title, total, unit, is_quiet(ctx))

    there = None if from_scratch or is_stream(path) or not path.exists() else _known_map(path, scene)
    if there is None:
        learn = _calibrate(place, stages) if calibration else None
        options = _options(settings, None, path)
        model = scene_model(folder) if options.sparse else None
        return build_map(scene, place.index, path, options, note, stages, learn, keep, model)
    options = _options(settings, there, path)
    check_map(there, place.index.frames, path)
    if not len(new_photos(there, place.index)):
        return None
    return extend_map(there, scene, place.index, path, options, note, stages, keep)


def _known_map(path: Path, scene: Scene) -> PointMap:
    """The map that is there already; raises for one that cannot be extended."""
    from irploc.errors import BadInput, Mismatch
    from irploc.structure.mapfile import load_map

    try:
        there = load_map(path)
    except BadInput as error:
        raise BadInput(f"{str(error).partition(':')[0]}: {_DAMAGE_OR_OTHER}") from None
    for word, now in (("scene", scene.name), ("ground_truth", scene.ground_truth), ("units", scene.units)):
        if there.identity.get(word) != now:
            raise Mismatch(
                f"{path} is a map of another {word.replace('_', ' ')}, {there.identity.get(word)!r} instead of {now!r}: "
                f"choose another --out; {_DAMAGE_OR_OTHER}"
            )
    return there


def _options(settings: dict[str, Any], there: PointMap | None, path: Path) -> MapOptions:
    """Those given; for the others those of the map that is there, else the defaults."""
    from irploc.errors import Mismatch
    from irploc.structure.options import MapOptions

    given = {name: value for name, value in settings.items() if value is not None}
    if there is None:
        return MapOptions.of(given)
    made_with = MapOptions.of_identity(there.identity)
    wanted = MapOptions.of({**made_with.plain(), **given})
    if wanted != made_with:
        other = next(name for name, value in wanted.plain().items() if value != made_with.plain()[name])
        word = "--" + other.replace("_", "-")
        raise Mismatch(
            f"{path} was made with {other} {made_with.plain()[other]}, not {wanted.plain()[other]}: leave {word} out, or "
            "add --from-scratch to make it anew"
        )
    return made_with


def _calibrate(place: Place, stages: Any) -> Calibrate:
    """Learns on held-out photos, with a bar."""
    from irploc.estimators.structure_calibration import calibrate, calibration_steps

    def learn(observations: Any, features: Any) -> dict[str, Any] | None:
        steps = calibration_steps(place)
        if not steps:
            note(f"{len(place.index.frames)} mapping photos are too few to calibrate confidence: it will be unknown")
            return None
        with stages("calibrating", steps, "photos") as bar:
            return calibrate(place, observations, features, bar)

    return learn


def _tell(report: MapReport, path: Path, seconds: float) -> None:
    """One line of what there is, and the rest in a few."""
    import numpy as np

    made = report.point_map
    kilobytes = path.stat().st_size / 1000 / max(len(made.names), 1)
    click.echo(
        f"{path}: {len(made)} points seen by {len(made.names)} photos, {report.added} of {report.photos} taken in, in "
        f"{seconds:.0f} s"
    )
    click.echo(
        f"  points    {len(made.observed)} observations, median {np.median(made.track_lengths):.0f} a point, reprojection "
        f"error {report.error_px:.2f} px"
    )
    click.echo(f"  size      {kilobytes:.0f} kB a photo of the map")
    spent = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in report.seconds.items())
    click.echo(f"  time      {spent}; {report.pairs} pairs matched")
    if report.unseen:
        note(f"{len(report.unseen)} photos see no point and are not in the map; first: {report.unseen[0]}")
