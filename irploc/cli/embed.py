"""`irploc embed` and `irploc index`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, SEED, is_quiet, note, store_path, workspace_of

if TYPE_CHECKING:
    from irploc.retrieval.embed import EmbedReport


@click.command()
@click.argument("scene")
@click.option(
    "--encoder", "encoder_name", default="netvlad-vgg16", show_default=True, help="See 'irploc encoders'; or onnx:PATH."
)
@click.option("--augmentations", default=10, show_default=True, help="Colour-jittered versions of each mapping image.")
@click.option("--max-side", type=int, help="Reduce the longer side to this many pixels.  [default: native resolution]")
@click.option("--precision", default="fp32", show_default=True, help="fp32, bf16, or on a GPU fp16.")
@click.option("--batch-size", type=int, help="Images a batch.  [default: by image size]")
@click.option("--dtype", default="float16", show_default=True, help="On disk: float16 or float32.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the colour jitter and of fitted encoders.")
@click.option("--brightness", default=0.4, show_default=True, help="Jitter range.")
@click.option("--contrast", default=0.4, show_default=True, help="Jitter range.")
@click.option("--saturation", default=0.4, show_default=True, help="Jitter range.")
@click.option("--hue", default=0.05, show_default=True, help="Jitter range, in turns.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--workers", type=int, help="Decoding threads.  [default: one per core, at most 8]")
@click.option("--skip-unreadable", is_flag=True, help="Leave out images that cannot be read instead of failing.")
@click.option("--out", type=FILE, help="HDF5 file.  [default: embeddings/<scene>.h5]")
@click.pass_context
def embed(
    ctx: click.Context,
    scene: str,
    encoder_name: str,
    augmentations: int,
    max_side: int | None,
    precision: str,
    batch_size: int | None,
    dtype: str,
    seed: int,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    device: str,
    workers: int | None,
    skip_unreadable: bool,
    out: Path | None,
) -> None:
    """Embed the photos of SCENE (a folder or a name in the workspace).

    Mapping photos are embedded plain and in colour-jittered versions, all others plain. An interrupted run goes on where it
    stopped; photos added to the scene are added to the file.
    """
    from irploc.encoders import EncoderOptions, create_encoder
    from irploc.images import JitterOptions
    from irploc.retrieval.embed import embed_scene
    from irploc.retrieval.plan import EmbedOptions

    workspace = workspace_of(ctx)
    folder = workspace.scene_folder(scene)
    loaded = workspace.load_scene(scene)
    options = EmbedOptions(
        augmentations=augmentations,
        max_side=max_side,
        batch_size=batch_size,
        seed=seed,
        dtype=dtype,
        jitter=JitterOptions(brightness, contrast, saturation, hue),
        workers=workers,
        skip_unreadable=skip_unreadable,
    )
    encoder = create_encoder(encoder_name, EncoderOptions(precision=precision, device=device))
    path = out or workspace.embeddings(loaded.name)
    started = time.monotonic()
    try:
        report = embed_scene(loaded, folder, path, encoder, options, is_quiet(ctx), note)
    except KeyboardInterrupt:
        note(f"interrupted; what was done is in {path}: run the same command again to go on")
        raise
    click.echo(_summary(path, report, encoder.dimension, time.monotonic() - started))


def _summary(path: Path, report: EmbedReport, dimension: int, seconds: float) -> str:
    rate = f", {report.versions / seconds:.1f} images/s" if report.versions else ""
    left_out = f", {len(report.unreadable)} left out as unreadable" if report.unreadable else ""
    return (
        f"{path}: {report.embedded} images embedded as {report.versions} vectors of {dimension} in "
        f"{seconds:.1f} s{rate}; {report.kept} were there already{left_out}"
    )


@click.command()
@click.argument("h5")
@click.option("--kind", default="flat", show_default=True, help="flat (exact), ivfpq or hnsw (large maps).")
@click.option("--out", type=FILE, help="FAISS file; a .toml is written beside it.  [default: indexes/<scene>.faiss]")
@click.pass_context
def index(ctx: click.Context, h5: str, kind: str, out: Path | None) -> None:
    """Build the search index over the mapping photos of H5 (an embeddings file, or a scene's name).

    It also learns, from mapping photos held out in turn, what confidence the answers of interpolation deserve.
    """
    from dataclasses import replace

    from irploc.estimators.build import Place, learned_of, methods_without_model
    from irploc.files import check_writable
    from irploc.progress import progress
    from irploc.retrieval.index import build_index, save_index
    from irploc.retrieval.store import EmbeddingStore

    with EmbeddingStore.open(store_path(ctx, h5)) as store:
        workspace = workspace_of(ctx)
        name = workspace.place_of_embeddings(store.path, store.header.scene)
        path = out or workspace.index(name)
        check_writable(path)
        built = build_index(store, kind)
        with progress("calibrating", len(methods_without_model()), "methods", is_quiet(ctx)) as bar:
            learned = learned_of(Place(name, store, built, workspace), bar)
        save_index(replace(built, learned=learned), store.header, path)
        click.echo(f"{path}: {kind} index of {len(built.frames)} mapping images, {store.header.dimension} dimensions")
