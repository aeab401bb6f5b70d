"""Which mapping photos a map is made from: those that show what others do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irploc.geometry.poses import Poses
from irploc.progress import Progress
from irploc.structure.comparison import Comparison
from irploc.structure.options import ALL, AUTO

SHOWN = 0.42  # a photo is left out when two key photos or more show this share of its features: a point needs two
_ASKED = 4  # key photos
_SAMPLE = 400  # features


def choose_key_photos(
    poses: Poses, comparison: Comparison, key_photos: str, bar: Progress, shown: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """(K,) ascending rows of the photos that are taken.

    Args:
        poses: N, in the order of the walks.
        comparison: of the N photos.
        key_photos: as in ``MapOptions``.
        bar: takes a step per photo.
        shown: N masks of the features of each that a map shows already.
    """
    count = len(poses)
    if key_photos == ALL:
        bar.advance(count)
        return np.arange(count)
    if key_photos != AUTO:
        bar.advance(count)
        return np.unique(np.linspace(0, count - 1, min(int(key_photos), count)).round().astype(np.int64))
    keys: list[int] = []
    for row in range(count):
        others = nearest_views(poses, row, np.array(keys, dtype=np.int64), _ASKED)
        already = None if shown is None else shown[row]
        if comparison.share_shown(row, others.tolist(), SHOWN, _SAMPLE, already) < SHOWN:
            keys.append(row)
        bar.advance()
    return np.array(keys, dtype=np.int64)


def nearest_views(poses: Poses, row: int, others: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the rows ``others`` that were taken from nearest to a photo and look most alike.

    Places and directions have no common unit, and scenes need not be in metres: the worse of the ranks by either counts.
    """
    if len(others) <= count:
        return others
    distance = np.linalg.norm(poses.centers_m[others] - poses.centers_m[row], axis=1)
    alike = np.abs(poses.world_from_cam_wxyz[others] @ poses.world_from_cam_wxyz[row])
    ranks = np.stack([np.argsort(np.argsort(values, kind="stable")) for values in (distance, -alike)])
    return np.asarray(others[np.lexsort((ranks.sum(axis=0), ranks.max(axis=0)))[:count]])
