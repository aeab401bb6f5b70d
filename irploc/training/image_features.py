"""Features of crops of photos, for training on images: of a frozen backbone, or of one that learns."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from irploc import provenance
from irploc.progress import Progress, Silent
from irploc.training.backbone import PooledBackbone
from irploc.training.batches import generator_for
from irploc.training.checkpoint import load_checkpoint, save_checkpoint
from irploc.training.features import chunks
from irploc.training.photos import Photos

_PLACES = 2**43  # the "step" whose generator draws the crops of a frozen backbone
_CHUNK = 16
_SAVE_SECONDS, _SAVE_SHARE = 30.0, 0.05


class TrainedImages:
    """A backbone that learns: new random crops in every step.

    Args:
        photos: mapping photos first; others may follow.
        backbone: trainable, on its device.
        fingerprint: of everything that the result depends on.
    """

    deviations: torch.Tensor | None = None

    def __init__(self, photos: Photos, backbone: PooledBackbone, fingerprint: str) -> None:
        self._photos, self._backbone, self.fingerprint = photos, backbone, fingerprint
        self.inputs = backbone.dimension

    def features(self, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """(B, D) of random crops; batch normalisation by this batch alone, as the two photos of a pair go through the same
        weights one after the other."""
        places = torch.rand(len(rows), 2, generator=generator, device=generator.device)
        features: torch.Tensor = self._backbone(self._photos.crops(rows, places.cpu().numpy()))
        return features

    def plain(self, rows: np.ndarray) -> torch.Tensor:
        """(B, D) of centre crops, by what has been learned so far."""
        return torch.cat([self._backbone.plain(self._photos.crops(rows[part])) for part in chunks(len(rows), _CHUNK)])

    def trained(self) -> nn.Module | None:
        """The backbone."""
        return self._backbone


class FrozenImages:
    """A backbone that stays as it is: a few random crops of each photo go through it, once.

    The paper draws new crops in every step. Here a photo has ``versions`` of them, so that a step costs the heads alone.

    Args:
        photos: ``count`` mapping photos first; those that follow have a centre crop only.
        backbone: frozen, on its device.
        versions: random crops of each mapping photo.
        seed: of their places.
        fingerprint: of everything that the result depends on.
        kept: a file for features that are there already, so that a killed run goes on; None keeps none.
        progress: takes a step per crop.
    """

    deviations: torch.Tensor | None = None

    def __init__(
        self,
        photos: Photos,
        count: int,
        backbone: PooledBackbone,
        versions: int,
        seed: int,
        fingerprint: str,
        kept: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.inputs, self.fingerprint = backbone.dimension, fingerprint
        self._versions, self._count = versions, count
        places = torch.rand(count, versions, 2, generator=generator_for(seed, _PLACES, torch.device("cpu"))).numpy()
        whole = np.full((count, 1, 2), np.nan, dtype=np.float32)  # the centre
        self._places = np.concatenate([whole, places], axis=1).reshape(-1, 2)
        self._table = self._computed(photos, backbone, _Kept(kept, fingerprint), progress or Silent())

    def features(self, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """(B, D), each of one of the random crops."""
        first = torch.from_numpy(np.asarray(rows, dtype=np.int64)).to(self._table.device) * (1 + self._versions) + 1
        return self._table[first + torch.randint(self._versions, first.shape, generator=generator, device=first.device)]

    def plain(self, rows: np.ndarray) -> torch.Tensor:
        """(B, D) of centre crops."""
        return self._table[torch.from_numpy(np.where(rows < self._count, rows * (1 + self._versions), self._beyond(rows)))]

    @property
    def table(self) -> np.ndarray:
        """(count, 1 + versions, D) of the mapping photos: the centre crop, then the random ones."""
        rows = self._table[: self._count * (1 + self._versions)]
        return rows.reshape(self._count, 1 + self._versions, -1).cpu().numpy()

    def trained(self) -> nn.Module | None:
        """Nothing."""
        return None

    def _beyond(self, rows: np.ndarray) -> np.ndarray:
        return len(self._places) + rows - self._count

    def _computed(self, photos: Photos, backbone: PooledBackbone, kept: _Kept, progress: Progress) -> torch.Tensor:
        """(crops, D): those of the first mapping photo, its centre in front, then the next one's …"""
        rows = np.repeat(np.arange(self._count), 1 + self._versions)
        rows = np.concatenate([rows, np.arange(self._count, len(photos))])
        places = np.concatenate([self._places, np.full((len(photos) - self._count, 2), np.nan, dtype=np.float32)])
        table = torch.zeros(len(rows), self.inputs)
        done = kept.restore(table)
        progress.advance(done)
        try:
            for part in chunks(len(rows), _CHUNK):
                if part[0] >= done:
                    pixels = photos.crops(rows[part], places[part])
                    table[torch.from_numpy(part)] = backbone.plain(pixels).cpu()
                    done = int(part[-1]) + 1
                    progress.advance(len(part))
                    kept.save_now_and_then(table, done)
        finally:
            kept.save(table, done)
        return table.to(next(backbone.parameters()).device)


class _Kept:
    """Rows of a table that are known, in a file."""

    def __init__(self, path: Path | None, fingerprint: str) -> None:
        self._path, self._settings = path, {"features": fingerprint}
        self._next, self._done = time.monotonic() + _SAVE_SECONDS, 0

    def restore(self, table: torch.Tensor) -> int:
        """Fills the first rows; how many."""
        found = load_checkpoint(self._path, self._settings)[0] if self._path is not None else None
        if found is not None:
            table[: found["done"]] = found["table"]
            self._done = int(found["done"])
        return self._done

    def save_now_and_then(self, table: torch.Tensor, done: int) -> None:
        if time.monotonic() >= self._next:
            started = time.monotonic()
            self.save(table, done)
            self._next = time.monotonic() + max(_SAVE_SECONDS, (time.monotonic() - started) / _SAVE_SHARE)

    def save(self, table: torch.Tensor, done: int) -> None:
        if self._path is not None and done > self._done:
            save_checkpoint(self._path, self._settings, {"done": done, "table": table[:done].clone()})
            self._done = done


def fingerprint_of(parts: list[str]) -> str:
    """Of texts."""
    return provenance.sha256_of_parts([part.encode() for part in parts])
