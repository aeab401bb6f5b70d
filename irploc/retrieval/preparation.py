"""Before the first photo is encoded: a look at every file, and a store that fits the scene and the settings."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.encoders.base import Encoder
from irploc.errors import BadInput, IrplocError, Mismatch
from irploc.images import decode_image, decoded_size, to_array
from irploc.progress import progress
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore, StoreHeader
from irploc.scene import Frames, Scene

_NAMED = 3  # unusable photos whose reasons are told


@dataclass(frozen=True)
class Readable:
    """The frames to embed, their decoded (width, height), and the names of those left out."""

    frames: Frames
    sizes: list[tuple[int, int]]
    left_out: tuple[str, ...]


def readable_frames(scene: Scene, options: EmbedOptions, encoder: Encoder) -> Readable:
    """What can be embedded, after a look at every file.

    Raises:
        BadInput: photos are missing, or unusable while ``skip_unreadable`` is off; with the count and the first.
    """
    frames = scene.frames
    if not len(frames):
        raise BadInput(f"scene {scene.name} has no images")
    if encoder.needs_fitting and not (frames.splits == "train").any():
        raise BadInput(f"scene {scene.name} has no training image to fit {encoder.name} on")
    missing = [str(path) for path in frames.images if not path.is_file()]
    if missing:
        raise BadInput(
            f"{len(missing)} of {len(frames)} images of scene {scene.name} are missing; first: {missing[0]}; put them back "
            "or import the scene again"
        )
    sizes: list[tuple[int, int]] = []
    problems: dict[int, str] = {}
    for row, path in enumerate(frames.images):
        try:
            sizes.append(decoded_size(path, options.max_side))
            if min(sizes[-1]) < encoder.minimum_side:
                width, height = sizes[-1]
                problems[row] = (
                    f"{path} is {width}x{height}, {encoder.name} needs at least {encoder.minimum_side} pixels a side"
                )
        except BadInput as error:
            problems[row] = str(error)
            sizes.append((0, 0))
    if problems and not options.skip_unreadable:
        raise BadInput(
            f"{len(problems)} of {len(frames)} images cannot be used: {'; '.join([*problems.values()][:_NAMED])}"
            f"{'; …' if len(problems) > _NAMED else ''}; mend them, or leave them out with --skip-unreadable"
        )
    good = [row for row in range(len(frames)) if row not in problems]
    if not good:
        raise BadInput(f"none of the {len(frames)} images of scene {scene.name} can be used; first: {problems[0]}")
    return Readable(frames[good], [sizes[row] for row in good], tuple(frames.names[row] for row in problems))


def prepare_store(
    scene: Scene,
    readable: Readable,
    scene_folder: Path,
    path: Path,
    encoder: Encoder,
    options: EmbedOptions,
    quiet: bool,
    say: Callable[[str], None],
) -> None:
    """Makes the store, or checks that it was made with the same settings and brings it up to date with the scene."""
    frames = readable.frames
    file_sizes = np.array([image.stat().st_size for image in frames.images], dtype=np.int64)
    if not path.exists():
        _fit(encoder, frames, options, quiet, say)
        header = _header(scene, scene_folder, encoder, options)
        EmbeddingStore.create(
            path,
            header,
            frames,
            scene.cameras,
            scene.image_root,
            file_sizes,
            encoder.state(),
            left_out=readable.left_out,
        )
        return
    with EmbeddingStore.open(path, complete=False) as store:
        state = store.encoder_state()
        if encoder.needs_fitting and store.header.encoder == encoder.name:
            encoder.load_state(state)
        elif encoder.needs_fitting:
            raise Mismatch(f"{path} was made with encoder {store.header.encoder} instead of {encoder.name}: {_WAY_OUT}")
        header = _header(scene, scene_folder, encoder, options)
        if differences := header.differences(store.header):
            raise Mismatch(f"{path} was made with {', '.join(differences)}: {_WAY_OUT}")
        if not _up_to_date(store, header, frames, file_sizes):
            EmbeddingStore.create(
                path, header, frames, scene.cameras, scene.image_root, file_sizes, state, store, readable.left_out
            )
            _say_changes(store, frames, say)


_WAY_OUT = "use the same settings, choose another --out, or delete the file"


def _up_to_date(store: EmbeddingStore, header: StoreHeader, frames: Frames, file_sizes: np.ndarray) -> bool:
    ours, theirs = store.frames, frames
    return (
        store.header == header
        and ours.images == theirs.images
        and ours.names == theirs.names
        and ours.cameras == theirs.cameras
        and np.array_equal(ours.splits, theirs.splits)
        and np.array_equal(ours.sequences, theirs.sequences)
        and np.array_equal(ours.indices, theirs.indices)
        and np.array_equal(ours.labels, theirs.labels)
        and np.array_equal(ours.poses.centers_m, theirs.poses.centers_m)
        and np.array_equal(ours.poses.world_from_cam_wxyz, theirs.poses.world_from_cam_wxyz)
        and np.array_equal(store.file_sizes, file_sizes)
    )


def _say_changes(store: EmbeddingStore, frames: Frames, say: Callable[[str], None]) -> None:
    before, now = set(store.frames.names), set(frames.names)
    say(
        f"the scene has changed since {store.path} was written: {len(now - before)} images are new, {len(before - now)} are "
        "gone; labels are brought up to date, unchanged images are not encoded again"
    )


def _fit(encoder: Encoder, frames: Frames, options: EmbedOptions, quiet: bool, say: Callable[[str], None]) -> None:
    if not encoder.needs_fitting:
        return
    train = frames.of_split("train")
    say(f"fitting {encoder.name} on {len(train)} mapping images")

    def images() -> Iterator[np.ndarray]:
        with (
            ThreadPoolExecutor(options.workers or min(os.cpu_count() or 1, 8)) as pool,
            progress(f"fitting {encoder.name}", len(train), "images", quiet) as bar,
        ):
            ahead: deque[Future[Image.Image]] = deque()
            for path in train.images:
                ahead.append(pool.submit(decode_image, path, options.max_side))
                if len(ahead) > 16:
                    yield from _pixels(ahead.popleft())
                    bar.advance()
            while ahead:
                yield from _pixels(ahead.popleft())
                bar.advance()

    encoder.fit(images, len(train), options.seed)


def _pixels(photo: Future[Image.Image]) -> Iterator[np.ndarray]:
    """Nothing for an unreadable photo: the embedding that follows reports it."""
    with suppress(IrplocError):
        yield to_array(photo.result())


def _header(scene: Scene, scene_folder: Path, encoder: Encoder, options: EmbedOptions) -> StoreHeader:
    return StoreHeader(
        scene=scene.name,
        scene_folder=str(scene_folder.absolute()),
        mapping_fingerprint=scene.mapping_fingerprint,
        ground_truth=scene.ground_truth,
        units=scene.units,
        encoder=encoder.name,
        weights_sha256=encoder.weights_sha256,
        preprocessing=encoder.preprocessing,
        max_side=options.max_side or 0,
        precision=encoder.options.precision,
        augmentations=options.augmentations,
        jitter=options.jitter,
        seed=options.seed,
        dtype=options.dtype,
        dimension=encoder.dimension,
    )


def drop_frames(path: Path, names: tuple[str, ...]) -> None:
    """Rewrites a store without these photos."""
    with EmbeddingStore.open(path, complete=False) as store:
        keep = ~np.isin(np.array(store.frames.names, dtype=object), list(names))
        EmbeddingStore.create(
            path,
            store.header,
            store.frames[keep],
            store.cameras,
            store.image_root,
            store.file_sizes[keep],
            store.encoder_state(),
            store,
            (*store.left_out, *names),
        )
