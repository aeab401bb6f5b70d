"""Features of photos as heads see them in training: stored embeddings, or what a backbone gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import nn

from irploc.training.batches import SETUP, generator_for
from irploc.training.normalisation import InputMap


class FeatureSource(Protocol):
    """Where features come from.

    Attributes:
        inputs: D.
        deviations: (D,) standard deviations of the features, for noise; None where it makes no sense.
        fingerprint: identifies the photos and settings, so that a checkpoint continues only on the same.
    """

    inputs: int
    deviations: torch.Tensor | None
    fingerprint: str

    def features(self, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """(B, D) of photos, each in a random version."""
        ...

    def plain(self, rows: np.ndarray) -> torch.Tensor:
        """(B, D) of photos as they are."""
        ...

    def trained(self) -> nn.Module | None:
        """What is trained beside the heads, and kept in the model; None where features are frozen."""
        ...


class StoredFeatures:
    """Embeddings of the store, mapped onto their principal components.

    Args:
        embeddings_NVD: float16 or float32; version 0 is the plain photo.
        components: principal components to map them to; 0 takes them as they are.
        seed: of the map.
        device: where they are kept.
        fingerprint: of the embeddings.
        input_map: one that was fitted to other photos, instead of one of their own.

    Attributes:
        input_map: how they are mapped, None if not.
    """

    def __init__(
        self,
        embeddings_NVD: np.ndarray,
        components: int,
        seed: int,
        device: torch.device,
        fingerprint: str,
        input_map: InputMap | None = None,
    ) -> None:
        self.fingerprint = fingerprint
        self._embeddings = torch.from_numpy(np.ascontiguousarray(embeddings_NVD)).to(device)
        self.input_map = input_map
        if components and input_map is None:
            generator = generator_for(seed, SETUP, torch.device("cpu"))
            self.input_map = InputMap.fit(self._embeddings, components, generator)
        if self.input_map is not None:
            self._embeddings = self.input_map.apply(self._embeddings)
        self.inputs = int(self._embeddings.shape[2])
        self.deviations: torch.Tensor | None = self._embeddings[:, 0].float().std(dim=0, correction=0)

    @property
    def embeddings(self) -> torch.Tensor:
        """(N, V, R) on the device."""
        return self._embeddings

    def features(self, rows: np.ndarray, generator: torch.Generator) -> torch.Tensor:
        """(B, R), each a point between the plain photo and a random jittered version of it."""
        chosen = torch.from_numpy(rows).to(self._embeddings.device)
        versions = torch.randint(self._embeddings.shape[1], chosen.shape, generator=generator, device=chosen.device)
        share = torch.rand(len(chosen), 1, generator=generator, device=chosen.device)
        return torch.lerp(self._embeddings[chosen, 0].float(), self._embeddings[chosen, versions].float(), share)

    def plain(self, rows: np.ndarray) -> torch.Tensor:
        """(B, R)."""
        return self._embeddings[torch.from_numpy(rows).to(self._embeddings.device), 0].float()

    def trained(self) -> nn.Module | None:
        """Nothing: the encoder is frozen."""
        return None


def chunks(count: int, size: int) -> Iterator[np.ndarray]:
    """Row numbers, ``size`` at a time."""
    return (np.arange(start, min(start + size, count)) for start in range(0, count, size))
