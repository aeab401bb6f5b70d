"""`irploc scene import`, `export` and `info`; `build`, `align` and `split` have modules of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, FOLDER, PATH, note, workspace_of
from irploc.cli.scene_align import align_scene
from irploc.cli.scene_build import build_scene
from irploc.cli.scene_split import chosen_split, split_options, split_scene, splits_of

if TYPE_CHECKING:
    import numpy as np

    from irploc.readers import Imported
    from irploc.scene import Scene


@click.group()
def scene() -> None:
    """Import, export and inspect scenes."""


@scene.command("import")
@click.argument("format_name", metavar="FORMAT")
@click.argument("path", type=PATH)
@click.option("--out", type=FOLDER, required=True, help="Scene folder to write, scenes/NAME for example.")
@click.option("--name", help="Of the scene.  [default: the last part of --out]")
@click.option("--images", type=FOLDER, help="Folder with the photos, where the format does not say.")
@click.option("--ground-truth", type=FILE, help="7-Scenes: pseudo ground truth to use instead of the original poses.")
@click.option(
    "--convention", default="world_from_cam", show_default=True, help="Of the poses in a csv table; see docs/conventions.md."
)
@click.option("--train-list", type=FILE, help="Names of the mapping photos, one a line; the others test.")
@click.option("--test-list", type=FILE, help="Names of the test photos, one a line; the others map.")
@split_options("default: the dataset's own, else all map", "100")
@click.option("--metric", is_flag=True, help="The poses of a colmap or nerfstudio source are in metres.")
@click.option("--force", is_flag=True, help="Overwrite a scene that is there.")
def import_scene(
    format_name: str,
    path: Path,
    out: Path,
    name: str | None,
    images: Path | None,
    ground_truth: Path | None,
    convention: str,
    metric: bool,
    force: bool,
    **splitting: Any,
) -> None:
    """Turn a dataset at PATH into a scene folder.

    FORMAT is 7scenes, cambridge, colmap, nerfstudio, tum or csv; PATH is what the dataset's own tools take: the folder of
    a scene or model, or the file with the poses. The photos stay where they are.
    """
    from irploc.errors import BadInput
    from irploc.readers import READERS, ReadOptions
    from irploc.readers.base import absolute
    from irploc.readers.colmap import keep_model
    from irploc.scene import Scene

    reader = READERS.get(format_name)
    if (out / "scene.toml").exists() and not force:
        raise BadInput(f"{out} holds a scene already: choose another --out, or give --force to overwrite it")
    imported = reader(path, ReadOptions(ground_truth, images, convention))
    if metric and imported.units == "metres":
        raise BadInput(f"--metric is not for {format_name}, whose poses are metres already: leave it out")
    imported = _split(replace(imported, units="metres") if metric else imported, **splitting)
    made = Scene(
        name=name or out.absolute().name,
        image_root=absolute(imported.image_root),
        frames=imported.frames,
        cameras=imported.cameras,
        ground_truth=imported.ground_truth,
        source=format_name,
        units=imported.units,
        rejected=imported.rejected,
    )
    made.save(out)
    if format_name == "colmap":
        keep_model(path, out / "sparse")
    click.echo(f"{out}: {counts_in_words(made)}, ground truth: {made.ground_truth}")
    if made.rejected:
        first = made.rejected[0]
        note(f"{len(made.rejected)} images rejected; first: {first.image}: {first.reason} (all in {out / 'rejected.csv'})")
    missing = [image for image in made.frames.images if not image.is_file()]
    if missing:
        note(f"{len(missing)} of {len(made.frames)} photos are missing; first: {missing[0]}; --images says where they are")
    if not (made.frames.splits == "test").any():
        note("no test images: all map the place; to measure methods, hold some back with 'irploc scene split'")


def _split(
    imported: Imported,
    train_list: Path | None,
    test_list: Path | None,
    **splitting: Any,
) -> Imported:
    """The frames split as asked; by the dataset itself when nothing is asked."""
    from irploc.readers.lists import split_by_lists
    from irploc.scene import Rejected

    frames = imported.frames
    kind, given = chosen_split(lists=bool(train_list or test_list), **splitting)
    if train_list or test_list:
        listed = split_by_lists(frames, train_list, test_list)
        left_out = [
            Rejected(frames.names[row], int(frames.indices[row]), "in neither list")
            for row in range(len(frames))
            if not listed.listed[row]
        ]
        chosen = replace(frames, splits=listed.splits)[listed.listed]
        return replace(imported, frames=chosen, rejected=(*imported.rejected, *left_out))
    if kind is None:
        return imported
    return replace(imported, frames=replace(frames, splits=splits_of(frames, kind, given)))


@scene.command("export")
@click.argument("scene_name", metavar="SCENE")
@click.option("--format", "format_name", required=True, help="colmap, nerfstudio, tum, csv or 7scenes.")
@click.option("--out", type=PATH, required=True, help="Folder to write; for csv a file.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
@click.pass_context
def export_scene(ctx: click.Context, scene_name: str, format_name: str, out: Path, force: bool) -> None:
    """Write a scene's poses in another format; photos are not copied."""
    from irploc.cli.scene_formats import lost_in
    from irploc.readers.sevenscenes import keep_facts
    from irploc.readers.writers import NAMES_ONLY
    from irploc.readers.writers import export_scene as export

    loaded = workspace_of(ctx).load_scene(scene_name)
    export(loaded, format_name, out, overwrite=force)
    if format_name == "7scenes":
        keep_facts(loaded, out)
    click.echo(f"{out}: {len(loaded.frames)} poses of {loaded.name} as {format_name}")
    if format_name in NAMES_ONLY:
        note(f"the names are relative to the photos' folder, {loaded.image_root} (the import's --images)")
    if lost := lost_in(loaded, format_name):
        note(f"{format_name} cannot hold {'; '.join(lost)}")


@scene.command("info")
@click.argument("scene_name", metavar="SCENE")
@click.option("--picture", type=FILE, help="Top view as PNG.  [default: reports/<scene>-top.png]")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
@click.pass_context
def scene_info(ctx: click.Context, scene_name: str, picture: Path | None, as_json: bool) -> None:
    """Show counts, extent, cameras, ground truth and missing files, and draw a top view."""
    from irploc.scene_picture import write_top_view

    workspace = workspace_of(ctx)
    loaded = workspace.load_scene(scene_name)
    path = picture or workspace.root / "reports" / f"{loaded.name}-top.png"
    write_top_view(loaded, path, _points_to_draw(workspace.scene_folder(scene_name)))
    facts = {**_facts(loaded), "picture": str(path)}
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    unit = "m" if loaded.units == "metres" else f"({loaded.units})"
    click.echo(f"{loaded.name}: {counts_in_words(loaded)}, from {loaded.source}")
    click.echo(f"  ground truth  {loaded.ground_truth}; units: {loaded.units}")
    if facts["learned"]:
        click.echo(f"  learned       {facts['learned']} of {len(loaded.frames)} poses are estimates of irploc learn")
    if loaded.alignment:
        click.echo(
            f"  aligned by    {', '.join(facts['alignment'])}; 'irploc scene align {loaded.name} --show' has the details"
        )
    click.echo(f"  extent        {' x '.join(f'{value:.2f}' for value in facts['extent_m'])} {unit} (x, y, z)")
    click.echo(f"  path          {facts['path_m']:.2f} {unit}")
    for sequence in facts["sequences"]:
        if sequence["name"]:
            click.echo(f"  sequence      {sequence['name']}: {sequence['images']} images, {sequence['path_m']:.2f} {unit}")
    for camera in facts["cameras"]:
        click.echo(f"  camera        {camera['name']}: {camera['words']}, {camera['images']} images")
    for reason, count in facts["rejected"].items():
        click.echo(f"  rejected      {count}: {reason}")
    if facts["missing_files"]:
        click.echo(f"  missing files {facts['missing_files']} of {len(loaded.frames)}; first: {facts['first_missing']}")
    else:
        click.echo("  missing files none")
    click.echo(f"  top view      {path}")


def _points_to_draw(folder: Path) -> np.ndarray | None:
    """(M, 3) of the scene's own cloud; none where it cannot be read, which other commands report."""
    from irploc.errors import IrplocError
    from irploc.pointcloud import scene_points

    try:
        cloud = scene_points(folder)
    except IrplocError:
        return None
    return None if cloud is None else cloud.points_m


def _facts(loaded: Scene) -> dict[str, Any]:
    """What `scene info` tells, as plain values."""
    from collections import Counter

    import numpy as np

    frames = loaded.frames
    paths = {name: _path_length(loaded, frames.sequences == name) for name in sorted(set(frames.sequences))}
    missing = [str(image) for image in frames.images if not image.is_file()]
    used = Counter(frames.cameras)
    return {
        "name": loaded.name,
        "images": len(frames),
        "splits": dict(Counter(frames.splits.tolist())),
        "units": loaded.units,
        "ground_truth": loaded.ground_truth,
        "learned": int(frames.learned.sum()),
        "alignment": [step.method for step in loaded.alignment],
        "source": loaded.source,
        "extent_m": np.ptp(frames.poses.centers_m, axis=0).tolist(),
        "path_m": sum(paths.values()),
        "sequences": [
            {"name": name, "images": int((frames.sequences == name).sum()), "path_m": path} for name, path in paths.items()
        ],
        "cameras": _camera_facts(loaded, used),
        "rejected": dict(Counter(item.reason for item in loaded.rejected)),
        "missing_files": len(missing),
        "first_missing": missing[0] if missing else None,
    }


def _camera_facts(loaded: Scene, used: dict[str, int]) -> list[dict[str, Any]]:
    rows = []
    for name, camera in loaded.cameras.items():
        focal, view = camera.focal_px[0], camera.field_of_view_deg
        words = (
            f"{camera.model} {camera.width}x{camera.height}, focal {focal:.1f} px, sees {view[0]:.0f} x {view[1]:.0f} deg"
        )
        rows.append(
            {
                "name": name,
                "model": camera.model,
                "width": camera.width,
                "height": camera.height,
                "params": camera.params,
                "field_of_view_deg": view,
                "images": used.get(name, 0),
                "words": words + _size_problem(loaded, name),
            }
        )
    if used.get(""):
        rows.append({"name": "(unknown)", "model": None, "images": used[""], "words": "intrinsics unknown"})
    return rows


def _size_problem(loaded: Scene, camera: str) -> str:
    """Words about the first photo of a camera, where it has another size than the camera's intrinsics are for."""
    from irploc.errors import IrplocError
    from irploc.images import decoded_size

    frames = loaded.frames
    photos = (image for image, name in zip(frames.images, frames.cameras, strict=True) if name == camera and image.is_file())
    photo = next(photos, None)
    if photo is None:
        return ""
    try:
        width, height = decoded_size(photo)
    except IrplocError as error:
        return f" ({error})"
    if (width, height) == (loaded.cameras[camera].width, loaded.cameras[camera].height):
        return ""
    return f" (but {photo.name} is {width}x{height})"


def _path_length(loaded: Scene, rows: np.ndarray) -> float:
    import numpy as np

    walk = loaded.frames[rows]
    ordered = walk.poses.centers_m[np.argsort(walk.indices, kind="stable")]
    return float(np.linalg.norm(np.diff(ordered, axis=0), axis=1).sum())


def counts_in_words(loaded: Scene) -> str:
    """How many photos, by split."""
    from irploc.scene import SPLITS

    counts = [(int((loaded.frames.splits == split).sum()), split) for split in SPLITS]
    parts = ", ".join(f"{count} {split}" for count, split in counts if count)
    return f"{len(loaded.frames)} images ({parts})"


scene.add_command(align_scene)
scene.add_command(build_scene)
scene.add_command(split_scene)
