"""`irploc views`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, workspace_of

if TYPE_CHECKING:
    from irploc.estimators.build import Place
    from irploc.scene import Scene
    from irploc.structure.pointmap import PointMap


@click.command()
@click.argument("scene")
@click.option("--per-photo", type=int, default=6, show_default=True, help="Views of each mapping photo.")
@click.option("--turn", type=float, default=5.0, show_default=True, help="Standard deviation of their turns, degrees.")
@click.option(
    "--shift", type=float, default=0.05, show_default=True, help="Of their shifts, as a share of the depth of what is seen."
)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of where they look from.")
@click.option("--embeddings", type=FILE, help="Embeddings file of the scene.  [default: embeddings/<scene>.h5]")
@click.option("--map", "map_file", type=FILE, help="Map of the scene.  [default: models/<scene>.structure.pt]")
@click.option("--encoder", help="Where the scene's encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.pass_context
def views(
    ctx: click.Context,
    scene: str,
    per_photo: int,
    turn: float,
    shift: float,
    seed: int,
    embeddings: Path | None,
    map_file: Path | None,
    encoder: str | None,
    device: str,
) -> None:
    """Draw what SCENE looks like from where nobody stood, for regressors to train on.

    Mapping photos are bent, by the depth of the map's points, to poses a little beside their own, and embedded.
    'irploc train-mlp' then trains on them too. Nothing else uses them: no index, no closed form, no figure of an evaluation.
    Run the same command again after an interruption; what is drawn and embedded is kept.
    """
    from irploc.estimators.build import open_place
    from irploc.localizer import encoder_of
    from irploc.progress import progress
    from irploc.retrieval.embed import embed_scene
    from irploc.retrieval.plan import EmbedOptions
    from irploc.retrieval.store import lock
    from irploc.structure.views import ViewOptions, draw_views
    from irploc.training.views import views_path

    options = ViewOptions(per_photo, turn, shift, seed)
    workspace, started = workspace_of(ctx), time.monotonic()
    folder, loaded = workspace.scene_folder(scene), workspace.load_scene(scene)
    place = open_place(workspace, scene, embeddings)
    with place.store:
        point_map = _map_of(place, loaded, map_file or place.model_path("structure"))
        header, store_path = place.store.header, place.store.path
        loaded_encoder = encoder_of(place, encoder, device)
    out = views_path(store_path)
    target = folder / "views" / store_path.stem
    plan = EmbedOptions(augmentations=0, max_side=header.max_side or None, seed=header.seed, dtype=header.dtype)
    try:
        with lock(target):
            with progress("drawing", int((loaded.frames.splits == "train").sum()), "photos", is_quiet(ctx)) as bar:
                drawn = draw_views(loaded, point_map, target, header.max_side or None, options, bar, note)
            drawn.save(target)
            embed_scene(drawn, target, out, loaded_encoder, plan, is_quiet(ctx), note)
            _remove_others(drawn, target)
    except KeyboardInterrupt:
        note("interrupted; run the same command again to go on")
        raise
    click.echo(
        f"{out}: {len(drawn.frames)} views of {len(set(drawn.frames.sequences))} photos in "
        f"{time.monotonic() - started:.1f} s; 'irploc train-mlp' trains on them"
    )


def _map_of(place: Place, scene: Scene, path: Path) -> PointMap:
    """The map at a path, if it and the embeddings are of the scene as it is now; says what they lack."""
    from irploc.errors import NotFound
    from irploc.localizer.current import check_map as check_embedded
    from irploc.structure.current import check_map
    from irploc.structure.mapfile import load_map

    if not path.is_file():
        raise NotFound(f"no map {path}: make it with 'irploc triangulate {scene.name}'")
    point_map = load_map(path)
    for sentence in (check_embedded(place.store, scene), check_map(point_map, place.index.frames, path)):
        if sentence:
            note(sentence)
    return point_map


def _remove_others(drawn: Scene, folder: Path) -> None:
    """Pictures of other settings or of an older map, which nothing names any more."""
    named = set(drawn.frames.images)
    for picture in (folder.absolute() / "images").glob("*.jpg"):
        if picture not in named:
            picture.unlink(missing_ok=True)
