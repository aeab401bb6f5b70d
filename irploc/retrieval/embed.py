"""Photos of a scene -> ``EmbeddingStore``: decoding overlapped with encoding, resumable, deterministic.

The plan (which version of which photo stands where in which batch) depends on the scene and the options only, never on
what is already done; batches of finished photos are skipped whole. A rerun therefore computes every missing vector in
the same place of a batch of the same shape, and gives the same bits.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from irploc.encoders.base import Encoder
from irploc.errors import BadInput, IrplocError
from irploc.images import decode_image, jitter_image, to_array
from irploc.progress import Progress, progress
from irploc.retrieval.plan import EmbedOptions, Slot, plan_batches
from irploc.retrieval.preparation import drop_frames, prepare_store, readable_frames
from irploc.retrieval.store import EmbeddingStore, lock
from irploc.scene import Scene


@dataclass(frozen=True)
class EmbedReport:
    """What a run did: photos embedded now, kept from before, left out as unreadable; and vectors written."""

    embedded: int
    kept: int
    unreadable: tuple[str, ...]
    versions: int


def embed_scene(
    scene: Scene,
    scene_folder: Path,
    path: Path,
    encoder: Encoder,
    options: EmbedOptions | None = None,
    quiet: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> EmbedReport:
    """Embeds what the store at ``path`` does not have yet, making it if need be.

    Args:
        scene: what to embed; the photos of the ``train`` split also in m jittered versions.
        scene_folder: recorded in the store.
        path: of the HDF5 file.
        encoder: loaded; one that is fitted gets fitted, or its state from the store.
        options: how.
        quiet: no progress bar.
        say: takes one-line notes (what was kept, smaller batches).

    Raises:
        BadInput: photos missing or unreadable (everything else is done by then), disk full. Mismatch: the file holds
            vectors made with other settings. Busy: another process is writing it.
    """
    options = options or EmbedOptions()
    readable = readable_frames(scene, options, encoder)
    with lock(path):
        prepare_store(scene, readable, scene_folder, path, encoder, options, quiet, say)
        with EmbeddingStore.open_for_writing(path) as store:
            kept = int(store.done.sum())
            if kept and kept < len(store.done):
                say(f"{kept} of {len(store.done)} images are embedded already, going on with the rest")
            run = _Run(store, encoder, options, readable.sizes, say)
            total = sum(store.versions_of(int(row)) for row in np.flatnonzero(~store.done))
            with progress(f"embedding {scene.name}", total, "images", quiet) as bar:
                run.everything(bar)
            report = EmbedReport(
                embedded=int(store.done.sum()) - kept,
                kept=kept,
                unreadable=(*readable.left_out, *(store.frames.names[row] for row in run.unreadable)),
                versions=run.encoded,
            )
        if run.unreadable and options.skip_unreadable:
            drop_frames(path, tuple(store.frames.names[row] for row in run.unreadable))
    if run.unreadable and not options.skip_unreadable:
        raise BadInput(
            f"{len(run.unreadable)} of {len(readable.frames)} images cannot be read; first: {run.first_problem}; the others "
            "are embedded: mend them and run again, or leave them out with --skip-unreadable"
        )
    return report


class _Run:
    """One pass over the plan."""

    def __init__(
        self,
        store: EmbeddingStore,
        encoder: Encoder,
        options: EmbedOptions,
        sizes: list[tuple[int, int]],
        say: Callable[[str], None],
    ) -> None:
        self.store, self.encoder, self.options, self.say = store, encoder, options, say
        self.plan = plan_batches(store.frames, sizes, store.header.augmentations, options.batch_size)
        self.missing = {int(row): store.versions_of(int(row)) for row in np.flatnonzero(~store.done)}
        self.unreadable: list[int] = []
        self.first_problem = ""
        self.encoded = 0
        self.largest_batch = 1 << 30

    def everything(self, bar: Progress) -> None:
        """Encodes the batches that hold anything missing, and marks photos done as they become complete."""
        wanted = [batch for batch in self.plan if any(slot.row in self.missing for slot in batch)]
        for batch, arrays in self._decoded(wanted):
            vectors = self._encode(np.stack(arrays)).numpy()
            complete = []
            for slot, vector in zip(batch, vectors, strict=True):
                if slot.row not in self.missing or slot.row in self.unreadable:
                    continue
                self.store.write(slot.row, slot.version, vector)
                self.missing[slot.row] -= 1
                self.encoded += 1
                bar.advance()
                if self.missing[slot.row] == 0:
                    complete.append(slot.row)
                    del self.missing[slot.row]
            self.store.mark_done(complete)

    def _decoded(self, batches: list[list[Slot]]) -> Iterator[tuple[list[Slot], list[np.ndarray]]]:
        """Batches with their pixels, decoded ahead by threads; a photo is decoded once for all its versions."""
        with ThreadPoolExecutor(self.options.workers or min(os.cpu_count() or 1, 8)) as pool:
            photos: dict[int, Future[Image.Image]] = {}
            waiting: deque[tuple[list[Slot], list[Future[np.ndarray]]]] = deque()

            def submit(batch: list[Slot]) -> None:
                rows = {slot.row for slot in batch}
                for row in [row for row in photos if row not in rows]:
                    del photos[row]  # slots already submitted hold on to their photo themselves
                for slot in batch:
                    if slot.row not in photos:
                        photos[slot.row] = pool.submit(
                            decode_image, self.store.frames.images[slot.row], self.options.max_side
                        )
                waiting.append((batch, [pool.submit(self._pixels, photos[slot.row], slot) for slot in batch]))

            try:
                upcoming = iter(batches)
                for batch in upcoming:
                    submit(batch)
                    if len(waiting) > 2:
                        yield self._collect(*waiting.popleft())
                while waiting:
                    yield self._collect(*waiting.popleft())
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _pixels(self, photo: Future[Image.Image], slot: Slot) -> np.ndarray:
        name = self.store.frames.names[slot.row]
        return to_array(jitter_image(photo.result(), self.options.jitter, self.options.seed, name, slot.version))

    def _collect(self, batch: list[Slot], futures: list[Future[np.ndarray]]) -> tuple[list[Slot], list[np.ndarray]]:
        """Waits for a batch; an unreadable photo's place is taken by a black one, so that the others keep theirs."""
        arrays: list[np.ndarray | None] = []
        for slot, future in zip(batch, futures, strict=True):
            try:
                arrays.append(future.result())
            except IrplocError as error:
                arrays.append(None)
                self.first_problem = self.first_problem or str(error)
                if slot.row not in self.unreadable:
                    self.unreadable.append(slot.row)
        shape = next((array.shape for array in arrays if array is not None), (3, 64, 64))
        return batch, [np.zeros(shape, dtype=np.uint8) if array is None else array for array in arrays]

    def _encode(self, images_BCHW: np.ndarray) -> torch.Tensor:
        """Encodes a batch, in smaller pieces from the moment that memory runs out."""
        while True:
            pieces = range(0, len(images_BCHW), self.largest_batch)
            try:
                batch = torch.from_numpy(images_BCHW)
                return torch.cat([self.encoder.encode(batch[start : start + self.largest_batch]) for start in pieces])
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error):
                    raise
                tried = min(self.largest_batch, len(images_BCHW))
                if tried == 1:
                    height, width = images_BCHW.shape[2:]
                    raise BadInput(f"not enough memory to encode one {width}x{height} image: use --max-side") from None
            self.largest_batch = max(1, tried // 2)
            self.say(f"memory ran out with {tried} images at once, going on with {self.largest_batch}")
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _is_out_of_memory(error: Exception) -> bool:
    """Torch, CUDA and ONNX Runtime each say it in their own words."""
    text = str(error).lower()
    words = ("out of memory", "can't allocate memory", "failed to allocate", "bad_alloc", "not enough memory")
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or any(word in text for word in words)
