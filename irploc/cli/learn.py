"""`irploc learn`."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, PATH, SEED, is_quiet, note, workspace_of

if TYPE_CHECKING:
    from irploc.learning import Decided, KeepOptions, Walk
    from irploc.localizer import Localizer
    from irploc.mapping.selection import SelectionOptions
    from irploc.progress import Progress
    from irploc.scene import Scene
    from irploc.workspace import Workspace


@dataclass(frozen=True)
class _Run:
    """What the steps share."""

    ctx: click.Context
    workspace: Workspace
    folder: Path
    embeddings: Path
    method: str
    model: Path | None
    encoder: str | None
    device: str
    focal: float | None
    seed: int

    def stages(self, title: str, total: int, unit: str) -> AbstractContextManager[Progress]:
        """A progress bar."""
        from irploc.progress import progress

        return progress(title, total, unit, is_quiet(self.ctx))


@click.command()
@click.argument("scene_name", metavar="SCENE")
@click.argument("photos", nargs=-1, required=True, type=PATH, metavar="PHOTOS...")
@click.option("--method", default="structure", show_default=True, help="Who localizes the photos, see 'irploc methods'.")
@click.option("--model", type=FILE, help="Its model or map.  [default: models/<scene>.<method>.pt]")
@click.option("--embeddings", type=FILE, help="Embeddings file.  [default: embeddings/<scene>.h5]")
@click.option("--encoder", help="Where the scene's encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--focal", type=float, help="Focal length of the photos in pixels.  [default: as irploc localize]")
@click.option("--fps", type=float, help="Frames a second of a video, at most.  [default: 6]")
@click.option("--min-confidence", type=float, default=0.9, show_default=True, help="Of poses that are kept.")
@click.option(
    "--max-error",
    type=(float, float),
    default=(0.05, 2.0),
    show_default=True,
    metavar="M DEG",
    help="Errors to expect of poses that are kept, in the scene's units and degrees.",
)
@click.option(
    "--thin", type=float, default=0.0, help="Leave out photos nearer than this to a mapping photo (1 deg counts as 0.01)."
)
@click.option("--again", is_flag=True, help="Look again at photos that earlier runs left out.")
@click.option("--train/--no-train", default=True, show_default=True, help="Train the scene's regressors again.")
@click.option("--extend-map/--no-extend-map", default=False, show_default=True, help="Triangulate with the photos too.")
@click.option(
    "--views", type=int, default=6, show_default=True, help="Views of each photo to train on, see 'irploc views'; 0: none."
)
@click.option("--dry-run", is_flag=True, help="Say what would be kept; change nothing.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the training.")
@click.pass_context
def learn(
    ctx: click.Context,
    scene_name: str,
    photos: tuple[Path, ...],
    method: str,
    model: Path | None,
    embeddings: Path | None,
    encoder: str | None,
    device: str,
    focal: float | None,
    fps: float | None,
    min_confidence: float,
    max_error: tuple[float, float],
    thin: float,
    again: bool,
    train: bool,
    extend_map: bool,
    views: int,
    dry_run: bool,
    seed: int,
) -> None:
    """Let SCENE learn from unlabelled PHOTOS: photos, folders of photos, or videos.

    They are localized on the points of the scene's map. What is certain becomes a mapping photo, labelled as an estimate;
    then the photos are embedded, and the index and the regressors are made again. Ground truth they are never: they test no
    method. Run the same command again after an interruption; nothing is done twice.
    """
    from irploc.learning import KeepOptions, check_sources
    from irploc.mapping.selection import SelectionOptions

    keep = KeepOptions(min_confidence, *max_error, thin_m=thin)
    selection = SelectionOptions() if fps is None else SelectionOptions(fps=fps)
    check_sources(photos)
    workspace = workspace_of(ctx)
    folder, path = workspace.scene_folder(scene_name), embeddings or workspace.embeddings_of(scene_name)
    run = _Run(ctx, workspace, folder, path, method, model, encoder, device, focal, seed)
    try:
        if not dry_run:
            _refresh(run, train, views, "finishing what an earlier run began")
        localizer = _opened(run, scene_name)
        decided = _decided(run, localizer, _new_walks(run, photos, selection, again), keep)
        if not dry_run and any(one.kept.any() for one in decided):
            _take_in(run, decided)
            _refresh(run, train, views)
        elif not dry_run and decided:
            _remember(run, decided)
        if extend_map and not dry_run:
            _extend_map(run)
    except KeyboardInterrupt:
        note("interrupted; run the same command again to go on")
        raise


def _opened(run: _Run, scene: str) -> Localizer:
    from irploc.localizer import Localizer

    localizer = Localizer.open(
        scene,
        run.method,
        run.model,
        run.workspace.root,
        run.encoder,
        run.device,
        embeddings=run.embeddings,
        focal_px=run.focal,
    )
    for sentence in localizer.notes:
        note(sentence)
    return localizer


def _new_walks(run: _Run, photos: tuple[Path, ...], selection: SelectionOptions, again: bool) -> list[Walk]:
    """The photos that the scene does not know yet."""
    from irploc.learning import Memory, walks_of, without_known
    from irploc.scene import Scene

    walks, mapped = without_known(walks_of(photos, run.folder, selection, run.stages), Scene.load(run.folder))
    if mapped:
        note(f"{mapped} photos map the scene already: passed over")
    left_out = set() if again else Memory(run.folder).left_out()
    fresh = [[photo.resolve() not in left_out for photo in walk.photos] for walk in walks]
    if passed := sum(new.count(False) for new in fresh):
        note(f"{passed} photos were left out before: passed over; --again looks at them again")
    new = [walk.of(rows) for walk, rows in zip(walks, fresh, strict=True)]
    return [walk for walk in new if len(walk)]


def _decided(run: _Run, localizer: Localizer, walks: list[Walk], keep: KeepOptions) -> list[Decided]:
    """Localizes the photos and judges the answers; says what became of them."""
    from irploc.learning import AnswerFile, Decided, Memory, ask, counted, judge
    from irploc.provenance import sha256_of_file
    from irploc.scene import Scene

    if not walks:
        click.echo("no new photos")
        return []
    scene, memory = Scene.load(run.folder), Memory(run.folder)
    model = run.model or run.workspace.model(localizer.scenes[0].place.name, run.method.partition(":")[0])
    asked = f"{run.method} {run.focal} {sha256_of_file(model) if model.is_file() else ''} {scene.mapping_fingerprint}"
    known = AnswerFile(run.folder, asked)
    decided: list[Decided] = []
    with run.stages("localizing", sum(len(walk) for walk in walks), "photos") as bar:
        for walk in walks:
            answers = ask(walk, localizer.localize_many, known, bar)
            verdicts = judge(walk, answers, scene.frames.of_split("train").poses, keep)
            sequence = memory.sequence_of(walk.source, scene, [one.sequence for one in decided])
            decided.append(Decided(sequence, walk, tuple(answers), tuple(verdicts)))
    counts = ", ".join(f"{count} {verdict}" for verdict, count in counted(decided).items())
    click.echo(f"{sum(len(walk) for walk in walks)} new photos of {len(walks)} walks: {counts}")
    if "confidence unknown" in counted(decided):
        note("--min-confidence 0 keeps photos by their status and --max-error alone, where confidence is unknown")
    return decided


def _take_in(run: _Run, decided: list[Decided]) -> None:
    from irploc.learning import save_learned, with_learned
    from irploc.scene import Scene

    scene = Scene.load(run.folder)
    after = with_learned(scene, decided)
    save_learned(scene, after, run.folder)
    _remember(run, decided)
    count = int((after.frames.splits == "train").sum())
    click.echo(f"{run.folder}: {count} mapping photos now, {int(after.frames.learned.sum())} of them learned")


def _remember(run: _Run, decided: list[Decided]) -> None:
    """Keeps what was decided, in the scene's folder."""
    from irploc.learning import TABLE, AnswerFile, Memory

    Memory(run.folder).save(decided)
    AnswerFile(run.folder, "").discard()
    note(f"{run.folder / TABLE} tells what became of each photo")


def _refresh(run: _Run, train: bool, views: int, why: str = "") -> None:
    """Embeds what the scene learned, and makes the index and the regressors again where they are of other photos."""
    from irploc.cli.embed import index
    from irploc.cli.train import train_mlp
    from irploc.learning.stale import embeddings_stale, index_stale, models_stale
    from irploc.retrieval.store import EmbeddingStore
    from irploc.scene import Scene

    scene = Scene.load(run.folder)
    if not scene.frames.learned.any():
        return
    stale = embeddings_stale(scene, run.embeddings)
    if stale:
        note(why or "embedding what was learned")
        _embed(run, scene)
    with EmbeddingStore.open(run.embeddings) as store:
        kind, models = index_stale(run.workspace, store), models_stale(run.workspace, store)
    if kind:
        run.ctx.invoke(index, h5=str(run.embeddings), kind=kind)
    if not train and models:
        note(f"{', '.join(models)} must be trained again before they answer: 'irploc train-mlp {run.embeddings}'")
        return
    if models and views:
        _draw_views(run, views)
    for model, recipe in models.items():
        run.ctx.invoke(
            train_mlp,
            h5=str(run.embeddings),
            model=model,
            recipe_name=recipe.name,
            place=recipe.place,
            views=views > 0,
            seed=run.seed,
            device=run.device,
        )


def _draw_views(run: _Run, per_photo: int) -> None:
    """Those that are missing, where there is a map to draw them by."""
    from irploc.cli.views import views
    from irploc.retrieval.store import EmbeddingStore

    with EmbeddingStore.open(run.embeddings) as store:
        name = run.workspace.place_of_embeddings(store.path, store.header.scene)
    path = run.model or run.workspace.model(name, "structure")
    if run.method.partition(":")[0] == "structure" and path.is_file():
        given = {"embeddings": run.embeddings, "map_file": path, "encoder": run.encoder, "device": run.device}
        run.ctx.invoke(views, scene=str(run.folder), per_photo=per_photo, **given)


def _embed(run: _Run, scene: Scene) -> None:
    """With the settings that the embeddings have."""
    from irploc.encoders import EncoderOptions, create_encoder
    from irploc.retrieval.embed import embed_scene
    from irploc.retrieval.plan import EmbedOptions
    from irploc.retrieval.store import EmbeddingStore

    with EmbeddingStore.open(run.embeddings, complete=False) as store:
        header = store.header
    options = EmbedOptions(
        augmentations=header.augmentations,
        max_side=header.max_side or None,
        seed=header.seed,
        dtype=header.dtype,
        jitter=header.jitter,
    )
    encoder = create_encoder(run.encoder or header.encoder, EncoderOptions(precision=header.precision, device=run.device))
    report = embed_scene(scene, run.folder, run.embeddings, encoder, options, is_quiet(run.ctx), note)
    click.echo(f"{run.embeddings}: {report.embedded} photos embedded as {report.versions} vectors")


def _extend_map(run: _Run) -> None:
    """Takes in what the scene learned and the map does not have yet."""
    from irploc.cli.triangulate import triangulate
    from irploc.scene import Scene

    if Scene.load(run.folder).frames.learned.any():
        run.ctx.invoke(triangulate, scene_name=str(run.folder), embeddings=run.embeddings, out=run.model)
