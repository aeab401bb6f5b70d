"""DenseVLAD: the encoder that needs no download, fitted on the mapping photos themselves."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from torch.nn.functional import normalize

from irploc.encoders.base import ENCODERS, Encoder, EncoderEntry, EncoderOptions, check_images
from irploc.encoders.dense_sift import DIMENSION, DenseSiftOptions, dense_root_sift
from irploc.errors import BadInput, Mismatch

_CHUNK = 32  # photos held in memory while fitting


@dataclass(frozen=True)
class DenseVladOptions:
    """What is fitted; tuned on held-out blocks of the training frames of the 7-Scenes kitchen.

    Attributes:
        sift: the descriptors.
        centres: of the vocabulary.
        few_centres: of the vocabulary of a place with too few photos for a projection.
        few_images: with fewer mapping photos than this there is no projection.
        sampled_images: the vocabulary is learned from at most this many photos, evenly spread.
        sampled_descriptors: the vocabulary is learned from at most this many descriptors.
        projected_images: the projection is learned from at most this many photos, evenly spread.
        share: dimensions of the projection per photo it is learned from: the lower half of the spectrum is noise.
        smallest, largest: least and most dimensions of a projection.
        shrinkage: multiple of the mean variance that is added to every variance before whitening. Without it
            whitening inflates the directions that few photos cannot tell from noise.
    """

    sift: DenseSiftOptions = field(default_factory=DenseSiftOptions)
    centres: int = 128
    few_centres: int = 32
    few_images: int = 64
    sampled_images: int = 500
    sampled_descriptors: int = 50_000
    projected_images: int = 4000
    share: float = 0.5
    smallest: int = 32
    largest: int = 4096
    shrinkage: float = 3.0


class DenseVlad(Encoder):
    """RootSIFT on a dense grid, VLAD with intra and power normalisation, PCA-whitening with shrinkage.

    The vocabulary and the projection are fitted on the mapping photos; the length of a vector follows from their number:
    half of it, from 32 to 2000, or 32 centres x 128 = 4096 without a projection where they are fewer than 64. A photo
    without texture gets a fixed vector. It always computes on the CPU, each photo on one core. It has no pretrained
    weights, so that ``random_weights`` changes nothing.

    Source: Torii et al., CVPR 2015; Arandjelovic and Zisserman, CVPR 2013 (intra-normalisation); Jegou and Chum, ECCV 2012
    (whitening). Deviations: fitted on the place and not on other cities; whitened with shrinkage.
    """

    needs_fitting = True

    def __init__(self, name: str, options: EncoderOptions, settings: DenseVladOptions | None = None) -> None:
        if name != "densevlad":
            raise BadInput(f"densevlad takes no argument, not {name.partition(':')[2]!r}")
        if options.precision != "fp32":
            raise BadInput(f"densevlad computes in fp32 only, not in {options.precision}")
        self.name = name
        self.options = options
        self.dimension = 0
        self.weights_sha256 = ""
        self.settings = settings or DenseVladOptions()
        self.preprocessing = _describe(self.settings)
        self._threads = torch.get_num_threads()
        self._centres_KD = torch.empty(0, DIMENSION)
        self._mean_F = torch.empty(0)
        self._projection_FD: torch.Tensor | None = None

    def encode(self, images_BCHW: torch.Tensor) -> torch.Tensor:
        """(B, dimension) float32 unit vectors; raises ValueError before ``fit`` or ``load_state``."""
        if not self.dimension:
            raise ValueError("densevlad is not fitted")
        check_images(images_BCHW, self.minimum_side)
        if not len(images_BCHW):
            return torch.empty(0, self.dimension)
        with self._workers() as pool:
            rows_BF = torch.stack(list(pool.map(self._vlad, images_BCHW.cpu())))
        if self._projection_FD is not None:
            rows_BF = (rows_BF - self._mean_F) @ self._projection_FD
        lengths_B1 = rows_BF.norm(dim=1, keepdim=True)
        constant = self.dimension**-0.5
        return torch.where(lengths_B1 > 1e-9, rows_BF / lengths_B1.clamp(min=1e-9), constant)

    def fit(self, images: Callable[[], Iterator[np.ndarray]], count: int, seed: int) -> None:
        """Learns vocabulary and projection in two passes over the photos, which may give fewer than ``count``.

        Raises:
            BadInput: they give none.
        """
        settings = self.settings
        sample_ND = self._sample(images(), count, seed)
        if count >= settings.few_images:
            self._centres_KD = fit_vocabulary(sample_ND, settings.centres, seed)
            chosen = _spread(images(), count, settings.projected_images)
            rows = self._gather(chosen, lambda image_CHW, _: self._vlad(image_CHW))
            if len(rows) >= settings.few_images:
                mean_F, projection_FD = fit_whitening(np.stack(rows), settings)
                if projection_FD.shape[1] >= settings.smallest:
                    self._adopt(self._centres_KD, mean_F, projection_FD)
                    return
        self._adopt(fit_vocabulary(sample_ND, settings.few_centres, seed), torch.empty(0), None)

    def state(self) -> dict[str, np.ndarray]:
        """``centres`` (K, 128) and, where there is a projection, ``mean`` (K * 128,) and ``projection`` (K * 128, D)."""
        arrays = {"centres": self._centres_KD.numpy()}
        if self._projection_FD is not None:
            arrays |= {"mean": self._mean_F.numpy(), "projection": self._projection_FD.numpy()}
        return arrays if self.dimension else {}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Raises Mismatch where the arrays are not those of a densevlad."""
        arrays = {name: torch.from_numpy(np.array(values, np.float32)) for name, values in state.items()}
        shapes = {name: tuple(values.shape) for name, values in arrays.items()}
        length = shapes.get("centres", (0,))[0] * DIMENSION
        wanted: dict[str, tuple[int, ...]] = {"centres": (length // DIMENSION, DIMENSION)}
        if len(shapes) > 1:
            wanted |= {"mean": (length,), "projection": (length, shapes.get("projection", (0,))[-1])}
        if shapes != wanted or not length:
            raise Mismatch(f"the fitted state {shapes} is not that of densevlad: embed the scene again")
        self._adopt(arrays["centres"], arrays.get("mean", torch.empty(0)), arrays.get("projection"))

    def _adopt(self, centres_KD: torch.Tensor, mean_F: torch.Tensor, projection_FD: torch.Tensor | None) -> None:
        self._centres_KD, self._mean_F, self._projection_FD = centres_KD, mean_F, projection_FD
        self.dimension = centres_KD.numel() if projection_FD is None else projection_FD.shape[1]
        digest = hashlib.sha256(self.preprocessing.encode())
        for name, array in self.state().items():
            digest.update(f"{name}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        self.weights_sha256 = digest.hexdigest()

    def _vlad(self, image_CHW: torch.Tensor) -> torch.Tensor:
        return normalized_vlad(vlad(dense_root_sift(image_CHW, self.settings.sift), self._centres_KD))

    def _sample(self, images: Iterator[np.ndarray], count: int, seed: int) -> np.ndarray:
        """(N, 128): the same number of descriptors, drawn at random, of each of the sampled photos."""
        settings = self.settings
        share = -(-settings.sampled_descriptors // max(1, min(count, settings.sampled_images)))

        def draw(image_CHW: torch.Tensor, position: int) -> torch.Tensor:
            found = dense_root_sift(image_CHW, settings.sift)
            order = np.random.default_rng([seed, position]).permutation(len(found))[:share]
            return found[torch.from_numpy(order)]

        drawn = self._gather(_spread(images, count, settings.sampled_images), draw)
        if not drawn:
            raise BadInput("densevlad is fitted on the mapping photos, and none could be read")
        return np.concatenate(drawn)

    def _gather(self, images: Iterable[np.ndarray], work: Callable[[torch.Tensor, int], torch.Tensor]) -> list[np.ndarray]:
        """What ``work(image, position)`` gives for each photo, in their order."""
        results: list[np.ndarray] = []
        images = iter(images)
        with self._workers() as pool:
            while chunk := [torch.tensor(image) for image in islice(images, _CHUNK)]:
                positions = range(len(results), len(results) + len(chunk))
                results.extend(result.numpy() for result in pool.map(work, chunk, positions))
        return results

    @contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        """Threads that compute a photo on one core each: many small operations wait for one another on several."""
        try:
            with ThreadPoolExecutor(self._threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                yield pool
        finally:
            torch.set_num_threads(self._threads)  # what a worker sets is also the default of threads that start later


def vlad(descriptors_ND: torch.Tensor, centres_KD: torch.Tensor) -> torch.Tensor:
    """(K, D): the sum, over the descriptors nearest to each centre, of their differences from it."""
    nearest_N = (descriptors_ND @ centres_KD.T - 0.5 * centres_KD.square().sum(1)).argmax(1)
    sums_KD = torch.zeros_like(centres_KD).index_add_(0, nearest_N, descriptors_ND)
    counts_K = torch.bincount(nearest_N, minlength=len(centres_KD))
    return sums_KD - counts_K[:, None] * centres_KD


def normalized_vlad(sums_KD: torch.Tensor) -> torch.Tensor:
    """(K * D,) of unit length: each centre's sum to unit length, signed square root, all to unit length; zeros stay."""
    flat_F = normalize(sums_KD, dim=1).flatten()
    return normalize(flat_F.sign() * flat_F.abs().sqrt(), dim=0)


def fit_vocabulary(descriptors_ND: np.ndarray, centres: int, seed: int) -> torch.Tensor:
    """(K, D) k-means centres; K is ``centres``, or less where there are fewer than eight descriptors for each."""
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if not len(descriptors_ND):
        return torch.full((1, DIMENSION), DIMENSION**-0.5)
    clusters = min(centres, max(1, len(descriptors_ND) // 8))
    means = MiniBatchKMeans(clusters, batch_size=4096, max_iter=20, n_init=1, random_state=seed % 2**32)
    with threadpool_limits(1), warnings.catch_warnings():  # many short steps: threads would mostly wait for one another
        warnings.simplefilter("ignore", ConvergenceWarning)  # equal descriptors make equal centres, which do no harm
        means.fit(descriptors_ND)
    return torch.from_numpy(means.cluster_centers_.astype(np.float32))


def fit_whitening(rows_NF: np.ndarray, settings: DenseVladOptions) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (F,) and projection (F, D) that whiten with shrinkage; D is smaller where the rows span fewer dimensions.

    A principal direction of variance v is divided by sqrt(v + shrinkage * mean variance).
    """
    from scipy.linalg import eigh

    count = len(rows_NF)
    mean_F = rows_NF.mean(axis=0)
    centred_NF = rows_NF - mean_F
    gram_NN = (centred_NF @ centred_NF.T).astype(np.float64)
    wanted = min(settings.largest, max(settings.smallest, int(settings.share * count)), count - 1)
    values, vectors = eigh(gram_NN, subset_by_index=[count - wanted, count - 1])
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = int((values > max(1e-5 * values[0], 1e-9 * count)).sum())  # below, float32 rows hold only rounding errors
    values, vectors = values[:kept], vectors[:, :kept]
    added = settings.shrinkage * np.trace(gram_NN) / (count - 1)
    scaled_ND = vectors / np.sqrt(values * (values + added) / count)
    projection_FD = centred_NF.T @ scaled_ND.astype(np.float32)
    return torch.from_numpy(mean_F), torch.from_numpy(projection_FD)


def _spread(images: Iterator[np.ndarray], count: int, most: int) -> Iterator[np.ndarray]:
    """All of ``count`` photos, or ``most`` of them at even distances."""
    chosen = set(np.linspace(0, max(count - 1, 0), min(count, most)).round().astype(int).tolist())
    return (image for position, image in enumerate(images) if position in chosen)


def _describe(settings: DenseVladOptions) -> str:
    sift = settings.sift
    scales = ", ".join(f"{scale:g}" for scale in sift.scales)
    return (
        f"grey, at most {sift.max_side} px on the longer side, RootSIFT every {sift.cell} px of cells of {sift.cell} px "
        f"at scales {scales}, contrast {sift.contrast:g}, clip {sift.clip:g}; VLAD, intra and power normalisation"
    )


ENCODERS.register("densevlad")(EncoderEntry(DenseVlad, None, "fitted on the mapping photos, kept with their embeddings"))
