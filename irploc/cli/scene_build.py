"""`irploc scene build`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FOLDER, PATH, SEED, is_quiet, note

if TYPE_CHECKING:
    import numpy as np

    from irploc.mapping.build import BuildOptions, BuiltMap
    from irploc.mapping.result import Split
    from irploc.scene import Frames, Scene

_SPLITS = ("blocks", "modulo", "sequence", "all")


@click.command("build")
@click.argument("source", type=PATH, metavar="VIDEO_OR_FOLDER")
@click.option("--out", type=FOLDER, required=True, help="Scene folder to write, scenes/NAME for example.")
@click.option("--name", help="Of the scene.  [default: the last part of --out]")
@click.option("--fps", default=6.0, show_default=True, help="Frames a second taken from a video, the sharpest of each slot.")
@click.option(
    "--sharpness", default=0.5, show_default=True, help="Frames below this share of the usual sharpness are blurred."
)
@click.option("--camera-model", default="SIMPLE_RADIAL", show_default=True, help="Of COLMAP's.")
@click.option(
    "--cameras", default="single", show_default=True, help="One for all photos of a size (single), per folder, or per photo."
)
@click.option("--focal", type=float, help="Focal length in pixels to start from.  [default: EXIF, else estimated]")
@click.option("--encoder", default="densevlad", show_default=True, help="Finds photos that look alike, to close loops.")
@click.option("--window", default=8, show_default=True, help="Photos of a walk each is matched with.")
@click.option(
    "--similar", default=5, show_default=True, help="Most similar photos beyond those that each is matched with; 0 for none."
)
@click.option("--exhaustive", default=40, show_default=True, help="Up to so many photos, all pairs are matched.")
@click.option("--max-features", default=8192, show_default=True, help="SIFT features a photo.")
@click.option("--max-side", default=1600, show_default=True, help="Pixels that larger photos are reduced to for features.")
@click.option("--min-registered", default=0.7, show_default=True, help="Share of the photos that the map must hold.")
@click.option(
    "--split", "split_kind", default="blocks", show_default=True, help="blocks, modulo, sequence, or all (all map)."
)
@click.option("--block-size", type=int, help="Photos a block, with --split blocks.  [default: a tenth of the walk]")
@click.option("--modulo", type=int, help="N of --split modulo.  [default: 3]")
@click.option("--crops", type=int, help="Also write square crops of so many pixels to crops/, for networks on images.")
@click.option("--dense", is_flag=True, help="Also a dense cloud, points.ply; needs pycolmap with CUDA.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of every random choice.")
@click.option("--keep", is_flag=True, help="Keep the folder build/ (features, matches) when done.")
@click.option("--force", is_flag=True, help="Overwrite a scene that is there.")
@click.pass_context
def build_scene(
    ctx: click.Context,
    source: Path,
    out: Path,
    name: str | None,
    split_kind: str,
    block_size: int | None,
    modulo: int | None,
    crops: int | None,
    dense: bool,
    keep: bool,
    force: bool,
    **settings: Any,
) -> None:
    """Map a place from a video or a folder of photos by structure from motion.

    Poses come in a frame and scale of their own: 'irploc scene align' makes them metric and upright. An interrupted run goes
    on where it was when the same command is run again. COLMAP's own lines are in colmap.log.
    """
    from irploc.mapping.build import build_map
    from irploc.mapping.result import assemble, check_dense, dense_points, remove_work
    from irploc.progress import progress

    scene_name = name or out.absolute().name
    _check(source, out, scene_name, split_kind, crops, force)
    split, quiet = _split_of(split_kind, block_size, modulo), is_quiet(ctx)
    options = _options(settings)
    if dense:
        check_dense()
    started = time.monotonic()

    def stages(title: str, total: int, unit: str) -> Any:
        return progress(title, total, unit, quiet)

    try:
        with build_map(source, out, options, stages, quiet, note) as built:
            scene = assemble(built, out, scene_name, split, {**settings, "split": split_kind})
            if crops is not None:
                _write_crops(scene, out, crops, stages)
            if dense:
                note(f"{dense_points(out, built.photos.readable)}: dense points")
            scene.save(out)
            if not keep:
                remove_work(out)
    except KeyboardInterrupt:
        if (out / "build").is_dir():
            note(f"interrupted; what was done is in {out}: run the same command again to go on")
        raise
    _tell(scene, built, out, time.monotonic() - started)


def _check(source: Path, out: Path, name: str, split_kind: str, crops: int | None, force: bool) -> None:
    """Refuses before the work what would fail after it; says what ``--force`` gives up."""
    from irploc.errors import BadInput, IrplocError
    from irploc.mapping.photos import check_crop
    from irploc.scene import Scene

    if name in ("", ".", "..") or "/" in name or not name.isprintable():  # files are called after it
        raise BadInput(f"name is {name!r}, expected a name without / and control characters")
    if split_kind == "sequence" and source.is_file():
        raise BadInput("--split sequence holds a whole walk back, and a video is one: use --split blocks")
    if crops is not None:
        check_crop(crops)
    if not (out / "scene.toml").exists():
        return
    if not force:
        raise BadInput(f"{out} holds a scene already: choose another --out, or give --force to map it again from the start")
    try:
        steps = [step.method for step in Scene.load(out).alignment]
    except IrplocError:
        steps = []
    if steps:
        note(f"--force: the alignment of {out} ({', '.join(steps)}) and embeddings made of it will not fit the new map")


def _options(given: dict[str, Any]) -> BuildOptions:
    from irploc.mapping.build import BuildOptions
    from irploc.mapping.features import CameraOptions
    from irploc.mapping.matching import MatchingOptions
    from irploc.mapping.selection import SelectionOptions

    return BuildOptions(
        selection=SelectionOptions(given["fps"], given["sharpness"]),
        cameras=CameraOptions(given["camera_model"].upper(), given["cameras"], given["focal"]),
        matching=MatchingOptions(given["window"], given["similar"], given["exhaustive"]),
        encoder=given["encoder"],
        max_features=given["max_features"],
        max_side=given["max_side"],
        min_registered=given["min_registered"],
        seed=given["seed"],
        device=given["device"],
    )


def _split_of(kind: str, block_size: int | None, modulo: int | None) -> Split:
    from irploc import splits
    from irploc.errors import BadInput
    from irploc.mapping.result import block_size_for, in_order_of_walks

    if kind not in _SPLITS:
        raise BadInput(f"unknown --split {kind!r}, choose one of {', '.join(_SPLITS)}")
    for value, option, its_kind in ((block_size, "--block-size", "blocks"), (modulo, "--modulo", "modulo")):
        if value is not None and (value < 1 or kind != its_kind):
            raise BadInput(f"{option} goes with --split {its_kind}" if kind != its_kind else f"{option} must be at least 1")

    def split(frames: Frames) -> np.ndarray:
        if kind == "blocks":
            return splits.by_blocks(in_order_of_walks(frames), block_size or block_size_for(frames))
        if kind == "modulo":
            return splits.by_modulo(in_order_of_walks(frames), modulo or 3)
        return splits.by_sequence(frames) if kind == "sequence" else frames.splits

    return split


def _write_crops(scene: Scene, out: Path, size: int, stages: Any) -> None:
    from irploc.mapping.photos import crops_of

    with stages("crops", len(scene.frames), "photos") as bar:
        crops_of(scene.frames.images, scene.frames.names, out / "crops", size, bar)


def _tell(scene: Scene, built: BuiltMap, out: Path, seconds: float) -> None:
    from irploc.cli.scene import counts_in_words
    from irploc.pointcloud import scene_points
    from irploc.scene_picture import write_top_view

    quality, camera = built.quality, next(iter(scene.cameras.values()))
    cloud = scene_points(out)
    write_top_view(scene, out / "map.png", None if cloud is None else cloud.points_m)
    click.echo(f"{out}: {counts_in_words(scene)}, in {seconds:.0f} s")
    click.echo(f"  registered    {quality.registered} of {quality.photos} photos ({quality.share:.1%})")
    click.echo(
        f"  points        {quality.points}, seen by {quality.track_length:.1f} photos on average, "
        f"reprojection error {quality.reprojection_px:.2f} px"
    )
    sizes = " and ".join(map(str, quality.parts))
    larger = "" if len(quality.parts) < 2 else f", of {sizes} photos; the largest was taken"
    click.echo(f"  models        {max(len(quality.parts), 1)}{larger}")
    more = f", and {len(scene.cameras) - 1} more" if len(scene.cameras) > 1 else ""
    click.echo(f"  camera        {camera.model} {camera.width}x{camera.height}, focal {camera.focal_px[0]:.1f} px{more}")
    click.echo(f"  top view      {out / 'map.png'}")
    note(f"no scale and no vertical yet: irploc scene align {out} --upright --distance …; then irploc embed {scene.name}")
    if (scene.frames.splits == "test").any():
        note("part of the photos is held back to test with; --split all maps with all of them")
