"""`irploc scene align`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, SEED, note, workspace_of

if TYPE_CHECKING:
    from irploc.geometry.similarity import AlignmentStep
    from irploc.scene import Scene
    from irploc.workspace import Workspace


@click.command("align")
@click.argument("scene_name", metavar="SCENE")
@click.option(
    "--distance",
    "distances",
    type=(str, str, float),
    metavar="A B METRES",
    multiple=True,
    help="A known distance; may be given several times. A and B are names in --points, x,y,z in the scene's frame, "
    "point3d:NUMBER of its sparse model, or photo:NAME, where a photo was taken.",
)
@click.option(
    "--points",
    type=FILE,
    help="Table of points in the scene: name,image,u,v (pixels; a point in at least two photos), name,x,y,z (its "
    "frame) or name,point3d (number in its sparse model).",
)
@click.option("--known", type=FILE, help="Table name,x,y,z: where those points are in the building, metres; three or more.")
@click.option("--positions", type=FILE, help="Table image,x,y,z (metres) or image,lat,lon,alt: where photos were taken.")
@click.option(
    "--gps",
    is_flag=True,
    help="Positions in the photos' EXIF: x east, y north, z up, metres; x and y only in an upright scene.",
)
@click.option("--trajectory", type=FILE, help="TUM trajectory (stamp tx ty tz …, metres), read at the times of the frames.")
@click.option(
    "--fps",
    type=float,
    help="With --trajectory: frames a second that the frames' numbers count, for a scene without the times.csv of a build.",
)
@click.option(
    "--offset", "offset_s", type=float, default=0.0, show_default=True, help="With --trajectory: stamp of time 0, seconds."
)
@click.option("--upright", is_flag=True, help="z up and the floor z = 0, by the cameras and the level surfaces of the map.")
@click.option("--floor/--no-floor", default=True, help="With --upright: --no-floor turns only, and shifts nothing.")
@click.option(
    "--plan-points",
    type=FILE,
    help="Table name,x,y: where points (of --points) or photos are on a floor plan, metres; two or more.",
)
@click.option(
    "--keep-scale/--free-scale",
    default=None,
    help="Whether known coordinates leave the scale alone.  [default: with --distance, and for a plan of a scene in metres]",
)
@click.option(
    "--keep-upright", is_flag=True, help="Known coordinates turn the scene about z only; --upright and a plan imply it."
)
@click.option(
    "--max-error",
    "max_error_m",
    type=float,
    help="Largest residual of what agrees, metres; all that do are kept.  [default: points 0.03, positions 0.1, plan 0.3, "
    "GPS 10, or 1 % of the extent if more]",
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the random samples.")
@click.option("--show", is_flag=True, help="List what was done to the scene, and do nothing.")
@click.option("--undo", is_flag=True, help="Take the last step back.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.pass_context
def align_scene(
    ctx: click.Context, scene_name: str, show: bool, undo: bool, dry_run: bool, as_json: bool, **given: Any
) -> None:
    """Bring SCENE into metres and into the frame of its building.

    Scale from distances; z up and the floor at 0; the frame of known points, known camera positions or a floor plan. Steps
    are kept in scene.toml and can be undone, the last one first. Points that disagree are named and left out.
    """
    from irploc.errors import BadInput
    from irploc.mapping.align_store import finish, store, unaligned

    workspace = workspace_of(ctx)
    folder = workspace.scene_folder(scene_name)
    if finish(folder):
        note(f"finished the alignment of {folder} that was interrupted")
    loaded = workspace.load_scene(scene_name)
    asked = any(ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE for name in given)
    if (show or undo) and (asked or (show and undo)):
        raise BadInput("--show and --undo go alone")
    if show:
        _print(loaded, loaded.alignment, (), as_json)
        return
    if undo:
        back, similarity = unaligned(loaded)
        if not dry_run:
            store(folder, back, similarity)
            _draw(folder)
        undone = f"undone: {loaded.alignment[-1].method}"
        if not as_json:
            click.echo(undone)
        _print(back, back.alignment, ((undone,) if as_json else ()) + tuple(_stale(workspace, back)), as_json)
        return
    _align(workspace, loaded, folder, dry_run, as_json, given)


def _align(workspace: Workspace, loaded: Scene, folder: Path, dry_run: bool, as_json: bool, given: dict[str, Any]) -> None:
    from irploc.mapping.align import AlignOptions
    from irploc.mapping.align import align_scene as align
    from irploc.mapping.align_store import store
    from irploc.mapping.known_distances import Distance

    distances = tuple(Distance(*words) for words in given.pop("distances"))
    found = align(loaded, folder, AlignOptions(distances=distances, **given))
    if not dry_run:
        store(folder, found.scene, found.similarity)
        _draw(folder)
    notes = (*found.notes, *(("nothing is written (--dry-run)",) if dry_run else _stale(workspace, found.scene)))
    _print(found.scene, found.steps, notes, as_json)


def _draw(folder: Path) -> None:
    """Makes the picture of a built scene anew, which shows its axes and units."""
    from irploc.pointcloud import scene_points
    from irploc.scene import Scene
    from irploc.scene_picture import write_top_view

    if (folder / "map.png").is_file():
        cloud = scene_points(folder)
        write_top_view(Scene.load(folder), folder / "map.png", None if cloud is None else cloud.points_m)


def _stale(workspace: Workspace, scene: Scene) -> list[str]:
    """Notes on what still has the old poses."""
    from irploc.errors import IrplocError
    from irploc.retrieval.store import EmbeddingStore

    notes = []
    for name in workspace.embedded_scenes():
        path = workspace.embeddings(name)
        try:
            with EmbeddingStore.open(path) as store:
                of_scene, fingerprint = store.header.scene, store.header.mapping_fingerprint
        except IrplocError:
            continue  # it says so itself to those who use it
        if of_scene == scene.name and fingerprint != scene.mapping_fingerprint:
            notes.append(f"{path} has the poses of before: run 'irploc embed {scene.name}' again, and what follows from it")
    return notes


def _print(scene: Scene, steps: tuple[AlignmentStep, ...], notes: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        content = {"scene": scene.name, "units": scene.units, "steps": [s.to_dict() for s in steps], "notes": list(notes)}
        click.echo(json.dumps(content, indent=2))
        return
    for step in steps:
        _print_step(step)
    count = len(scene.alignment)
    steps_there = f"{count} step{'' if count == 1 else 's'} in scene.toml"
    click.echo(f"{scene.name}: {len(scene.frames)} photos, units: {scene.units}, {steps_there}")
    for text in notes:
        note(text)


def _print_step(step: AlignmentStep) -> None:
    unit = "m" if step.units_after == "metres" else "units"
    words = [f"scale {step.similarity.scale:.6g}", f"turned by {step.similarity.angle_deg:.2f} deg"]
    if step.method == "upright":
        words = [f"turned by {step.similarity.angle_deg:.2f} deg", f"{step.used} points in level surfaces"]
    else:
        count = step.inputs.get("given", len(step.residuals))
        words += [f"{step.used} of {count} used"]
        words += [] if count == 1 else [f"rms {step.rms:.4f} {unit}"]  # of one distance nothing is left over
    if "scale_uncertainty" in step.inputs:
        words.append(f"scale sure to {step.inputs['scale_uncertainty']:.2%}")
    click.echo(f"{step.method:<11}{', '.join(words)}")
    if step.inputs.get("given", 0) > len(step.residuals) > 0:
        click.echo(f"  the {len(step.residuals)} largest residuals:")
    width = max((len(name) for name in step.residuals), default=0)
    for name, residual in step.residuals.items() if len(step.residuals) > 1 else ():
        click.echo(f"  {name:<{width}}  {residual:8.4f} {unit}{'  left out' if name in step.left_out else ''}")
    for level in step.inputs.get("levels", ()):
        is_floor = level["height"] == 0 or abs(level["height"]) < 1e-9
        name = "floor" if is_floor and "floor_points" in step.inputs else "level"
        click.echo(f"  {name} at z = {level['height']:.3f} {unit}: {level['points']} points, {level['area']:.3g} {unit}²")
