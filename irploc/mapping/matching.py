"""Which photos are compared, and the comparison: matched and verified SIFT features in a COLMAP database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from irploc.errors import BadInput
from irploc.mapping.colmap_calls import interruptible
from irploc.mapping.features import colmap_device
from irploc.pairs.candidates import unique_pairs
from irploc.progress import Progress
from irploc.pycolmap_safe import import_pycolmap

_CHUNK = 500  # pairs a call, so that progress can be told
_SAMPLE = 2000  # pairs
_MOST = 10_000
_FEWEST_INLIERS = 15  # COLMAP's own limit


@dataclass(frozen=True)
class MatchingOptions:
    """Which pairs are compared.

    Attributes:
        window: each photo of a walk with so many that follow, and with those 2 and 4 times as far (without ``similar`` also
            8, 16 … times).
        similar: each photo with so many of the most similar ones from another time: what closes loops.
        exhaustive: up to so many photos, all pairs.

    Raises:
        BadInput: for negative numbers.
    """

    window: int = 8
    similar: int = 5
    exhaustive: int = 40

    def __post_init__(self) -> None:
        for name in ("window", "similar", "exhaustive"):
            if not 0 <= getattr(self, name) <= _MOST:
                raise BadInput(f"{name} is {getattr(self, name)}, it must lie in [0, {_MOST}]")

    def denser(self) -> MatchingOptions:
        """For a second attempt."""
        return MatchingOptions(2 * self.window, 4 * max(self.similar, 5), max(self.exhaustive, 150))


def walk_pairs(count: int, window: int, doublings: int | None = None) -> np.ndarray:
    """(P, 2) rows i < j of a walk of ``count`` photos: those up to ``window`` apart, and 2, 4, 8 … times that far, which
    hold a slow walk together.

    Args:
        doublings: so many of these; None up to the length of the walk.
    """
    steps = [*range(1, window + 1)]
    while window and steps[-1] * 2 < count and (doublings is None or len(steps) < window + doublings):
        steps.append(steps[-1] * 2)
    pairs = [np.stack([np.arange(count - step), np.arange(step, count)], axis=1) for step in steps if step < count]
    return unique_pairs(np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]))


def all_pairs(count: int) -> np.ndarray:
    """(P, 2) rows i < j, every pair."""
    return np.stack(np.triu_indices(count, 1), axis=1)


def match_pairs(
    database: Path,
    names: Sequence[str],
    pairs: np.ndarray,
    seed: int,
    device: str,
    progress: Progress,
) -> None:
    """Matches and verifies the pairs that the database has not compared yet.

    Args:
        names: N photos.
        pairs: (P, 2) of their rows.
        seed: of RANSAC.
        progress: takes a step per pair.
    """
    pycolmap = import_pycolmap()
    with pycolmap.Database.open(str(database)) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        number = np.array([ids[name] for name in names])
        new = [
            (first, second)
            for first, second in pairs.tolist()
            if not opened.exists_two_view_geometry(int(number[first]), int(number[second]))
        ]
    progress.advance(len(pairs) - len(new))
    listing = database.with_name("pairs.txt")
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    for start in range(0, len(new), _CHUNK):
        chunk = new[start : start + _CHUNK]
        listing.write_text("".join(f"{names[first]} {names[second]}\n" for first, second in chunk))
        pairing = pycolmap.ImportedPairingOptions()
        pairing.match_list_path = listing
        interruptible(
            partial(
                pycolmap.match_image_pairs,
                str(database),
                pairing_options=pairing,
                verification_options=verification,
                device=colmap_device(device),
            ),
            database.parent,
        )
        progress.advance(len(chunk))


@dataclass(frozen=True)
class MatchGraph:
    """What the comparison found.

    Attributes:
        pairs: (P, 2) rows of the photos that were matched.
        inliers: (P,) verified matches.
        turned_only: share of the matched pairs that one homography explains: a flat scene, or a camera that only turned.
    """

    pairs: np.ndarray
    inliers: np.ndarray
    turned_only: float

    def components(self, count: int) -> list[np.ndarray]:
        """Rows of the photos that hang together by verified matches, the largest group first."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        good = self.pairs[self.inliers >= _FEWEST_INLIERS]
        graph = coo_matrix((np.ones(len(good)), (good[:, 0], good[:, 1])), shape=(count, count))
        _, labels = connected_components(graph, directed=False)
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        return sorted(groups, key=lambda rows: (-len(rows), rows[0]))


def match_graph(database: Path, names: Sequence[str]) -> MatchGraph:
    """The verified matches between photos; what kind they are is looked up for a sample of the pairs."""
    pycolmap = import_pycolmap()
    kinds = pycolmap.TwoViewGeometryConfiguration
    planar = {kinds.PLANAR, kinds.PANORAMIC, kinds.PLANAR_OR_PANORAMIC}
    row_of = {name: row for row, name in enumerate(names)}
    with pycolmap.Database.open(str(database)) as opened:
        row_of_id = {image.image_id: row_of[image.name] for image in opened.read_all_images() if image.name in row_of}
        pair_ids, inliers = opened.read_two_view_geometry_num_inliers()
        ids = [pycolmap.pair_id_to_image_pair(pair_id) for pair_id in pair_ids]
        matched = [pair for pair, count in zip(ids, inliers, strict=True) if count >= _FEWEST_INLIERS]
        sample = matched[:: max(1, len(matched) // _SAMPLE)]
        turned = [opened.read_two_view_geometry(*pair).config in planar for pair in sample]
    rows = [[row_of_id[first], row_of_id[second]] for first, second in ids]
    share = float(np.mean(turned)) if turned else 0.0
    return MatchGraph(np.array(rows, dtype=np.int64).reshape(-1, 2), np.array(inliers, dtype=np.int64), share)
