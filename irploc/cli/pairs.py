"""`irploc pairs`: which photos of a scene see the same things."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, FOLDER, PATH, is_quiet, note, workspace_of

if TYPE_CHECKING:
    from irploc.geometry.cameras import Camera
    from irploc.pairs.agreement import Agreement
    from irploc.pairs.matrix import PairMatrix
    from irploc.pairs.options import PairOptions
    from irploc.pointcloud import PointCloud
    from irploc.retrieval.store import EmbeddingStore
    from irploc.scene import Scene


@dataclass(frozen=True)
class _Place:
    """What there is of the scene; ``folder`` is None where only its embeddings are there."""

    scene: Scene
    folder: Path | None
    store: EmbeddingStore | None


@click.command()
@click.argument("scene")
@click.option("--out", type=FILE, help="Pairs file.  [default: pairs/<scene>.npz in the workspace, .txt for hloc]")
@click.option(
    "--window", type=int, help="Pair photos of a sequence up to this far apart in their index.  [default: 30 photos' steps]"
)
@click.option(
    "--neighbours",
    type=int,
    help="Pair photos with their K most similar mapping photos.  [default: 20 for photos without a sequence, 0 for others]",
)
@click.option("--angle", type=float, help="Largest angle of a pair in degrees.  [default: half the diagonal field of view]")
@click.option("--fov", type=float, help="Diagonal field of view, degrees, of photos without intrinsics.")
@click.option("--points", type=PATH, help="PLY file or COLMAP model.  [default: the scene's own, where it has one]")
@click.option("--min-points", type=float, default=0.3, show_default=True, help="Smallest share of common points.")
@click.option("--min-depth", type=float, default=0.3, show_default=True, help="Smallest share of common depth.")
@click.option("--min-matches", type=float, help="Smallest share of matches.  [default: 0.01; 0.06 with --epipolar-px 0]")
@click.option("--depth-tolerance", type=float, default=0.1, show_default=True, help="Difference of depths, as a share.")
@click.option(
    "--epipolar-px", type=float, default=4.0, show_default=True, help="How far matches may be from the poses; 0: any."
)
@click.option("--test", default="auto", show_default=True, help="auto, points, depth, orb or none.")
@click.option("--split", default="train", show_default=True, help="Photos to pair: train or all.")
@click.option("--scene-dir", type=FOLDER, help="Where the scene of an embeddings file is.  [default: where it was]")
@click.option(
    "--format", "kind", type=click.Choice(["npz", "hloc"]), default="npz", show_default=True, help="hloc: lines 'query db'."
)
@click.option("--report", type=FILE, help="Write a page with accepted and rejected examples.")
@click.option("--agreement", is_flag=True, help="Also compare the depth and the ORB test on the pairs that have depth.")
@click.pass_context
def pairs(
    ctx: click.Context,
    scene: str,
    out: Path | None,
    window: int | None,
    neighbours: int | None,
    angle: float | None,
    fov: float | None,
    points: Path | None,
    min_points: float,
    min_depth: float,
    min_matches: float | None,
    depth_tolerance: float,
    epipolar_px: float,
    test: str,
    split: str,
    scene_dir: Path | None,
    kind: str,
    report: Path | None,
    agreement: bool,
) -> None:
    """Find the photos of SCENE (a folder, a name in the workspace, or an embeddings file) that see the same things.

    Candidates are close in a walk or look alike. They are tested by orientation, then by the first of these that there are
    data for: a point cloud, depth maps, ORB features.
    """
    import time
    from dataclasses import replace

    from irploc.files import check_writable
    from irploc.pairs import PairOptions, select_pairs

    options = PairOptions(
        window,
        neighbours,
        angle,
        fov,
        test,
        min_points,
        min_depth,
        min_matches,
        depth_tolerance,
        epipolar_px,
        split,
    )
    quiet = is_quiet(ctx)
    with ExitStack() as stack:
        place = _place(ctx, scene, scene_dir, stack)
        options = options if place.folder else replace(options, test=_without_photos(place, options, points))
        path = out or workspace_of(ctx).root / "pairs" / f"{place.scene.name}.{'txt' if kind == 'hloc' else 'npz'}"
        for target in filter(None, (path, report)):
            check_writable(target)
        cloud = _cloud(place, points, options)
        started = time.perf_counter()
        found = select_pairs(place.scene, options, place.store, cloud, quiet)
        seconds = time.perf_counter() - started
    (found.save_hloc if kind == "hloc" else found.save)(path)
    click.echo(_summary(path, found, seconds))
    if report:
        from irploc.report.pairs_page import write_pairs_page

        write_pairs_page(found, place.scene, report)
        click.echo(f"{report}: examples")
    if agreement:
        from irploc.pairs.agreement import measure_agreement

        click.echo(_agreement_in_words(measure_agreement(place.scene, found, options, quiet)))


def _place(ctx: click.Context, scene: str, scene_dir: Path | None, stack: ExitStack) -> _Place:
    """The scene with its embeddings where it has some; or embeddings with their scene, where it is found."""
    from irploc.errors import BadInput
    from irploc.retrieval.store import EmbeddingStore
    from irploc.scene import Scene

    workspace = workspace_of(ctx)
    if Path(scene).suffix in (".h5", ".hdf5"):
        store = stack.enter_context(EmbeddingStore.open(Path(scene)))
        return _place_of_store(store, scene_dir)
    if scene_dir is not None:
        raise BadInput(f"--scene-dir says where the scene of an embeddings file is, and {scene} is a scene: leave it out")
    folder = workspace.scene_folder(scene)
    loaded = Scene.load(folder)
    h5 = workspace.embeddings_of(scene)
    found = stack.enter_context(EmbeddingStore.open(h5, complete=False)) if h5.is_file() else None
    if found is not None and not found.done.all():
        note(f"{h5} is not complete: neighbours are not looked for in it")
        found = None
    return _Place(loaded, folder, found)


def _place_of_store(store: EmbeddingStore, scene_dir: Path | None) -> _Place:
    from irploc.retrieval.origin import scene_of, scene_of_labels

    found = scene_of(store, scene_dir)
    if found is not None:
        return _Place(*found, store)
    note(
        f"the scene of {store.path} is not at {store.header.scene_folder} any more: its pairs are found by window and angle "
        "alone (give --scene-dir to test what photos show)"
    )
    return _Place(scene_of_labels(store), None, store)


def _without_photos(place: _Place, options: PairOptions, points: Path | None) -> str:
    """The test that is left when there are no photos; refuses another that was asked for."""
    from irploc.errors import BadInput

    if options.test not in ("auto", "none") and not (options.test == "points" and points):
        raise BadInput(f"--test {options.test} needs the scene {place.scene.name}: give its folder with --scene-dir")
    return "points" if points else "none"


def _cloud(place: _Place, points: Path | None, options: PairOptions) -> PointCloud | None:
    """The point cloud to test with, in the frame of the scene."""
    from irploc.errors import BadInput
    from irploc.pointcloud import check_frame, load_points, scene_points

    if options.test not in ("auto", "points"):
        if points:
            raise BadInput(f"--points is not used by --test {options.test}: leave one of them out")
        return None
    cloud = load_points(points) if points else scene_points(place.folder) if place.folder else None
    if cloud is not None:
        check_frame(cloud, place.scene, _camera_by_fov(place.scene, options.fov_deg))
    return cloud


def _camera_by_fov(scene: Scene, fov_deg: float | None) -> Camera | None:
    """The camera that --fov describes, as large as the first photo without intrinsics; None where it is not needed."""
    import numpy as np

    from irploc.pairs.intrinsics import photo_cameras

    unknown = np.flatnonzero([not name for name in scene.frames.cameras])
    if not len(unknown) or (fov_deg is None and len(unknown) < len(scene.frames)):
        return None  # the photos with intrinsics are enough to look at
    rows = unknown if fov_deg is None else unknown[:1]
    cameras = photo_cameras(scene.frames, scene.cameras, fov_deg, rows, "or --test orb with --epipolar-px 0")
    return cameras[int(rows[0])]


def _summary(path: Path, found: PairMatrix, seconds: float) -> str:
    """The counts, one line a reason."""
    accepted, photos, candidates = len(found.accepted), len(found.names), len(found.pairs)
    counted = f"{accepted} pairs of {photos} photos, from {candidates} candidates in {seconds:.1f} s"
    lines = [f"{path}: {counted}; window {found.settings['window']}"]
    lines += [f"  {count:>8} {reason}" for reason, count in found.counts().items()]
    return "\n".join(lines)


def _agreement_in_words(result: Agreement) -> str:
    return (
        f"depth and ORB agree on {result.share:.1%} of the {result.pairs} pairs that have depth "
        f"(depth {result.depth_seconds:.0f} s, ORB {result.orb_seconds:.0f} s)\n"
        f"  depth accepts {result.depth_accepts:.1%}; of these ORB accepts {_percent(result.of_accepted)}, of the others it "
        f"rejects {_percent(result.of_rejected)}"
    )


def _percent(share: float) -> Any:
    return "-" if share != share else f"{share:.1%}"
