"""Whether a reconstruction is good enough to be a map, and what to do about it if not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from irploc.mapping.matching import MatchGraph
from irploc.mapping.reconstruct import Model

_FEW_FEATURES = 300  # of a photo
_FEW_INLIERS = 40  # between photos that follow one another
_TURNED = 0.6  # share of pairs that a homography explains
_ALL_TURNED = 0.95
_LEAST_BASELINE = 0.3  # of the distance of the points; the kitchen has 1.4, a camera on the spot 0.2 by mistakes alone
_BLURRED = 0.2  # share of frames
_GROUP = 0.1  # share of the photos that a group must have to be told


@dataclass(frozen=True)
class Quality:
    """Measures of the model that was taken.

    Attributes:
        photos: that were to be mapped.
        registered: of them in the model.
        points: 3D points.
        reprojection_px: mean error.
        track_length: photos that see a point, on average.
        models: photos in each model, largest first.
        groups: photos in each group that hangs together by matches, largest first.
        turned_only: share of the matched pairs that one homography explains.
        baseline: how far the camera moved, the diagonal of the walk's extent, over the usual distance of the points.
    """

    photos: int
    registered: int
    points: int
    reprojection_px: float
    track_length: float
    models: tuple[int, ...]
    groups: tuple[int, ...]
    turned_only: float
    baseline: float

    @property
    def share(self) -> float:
        """Registered share of the photos."""
        return self.registered / max(self.photos, 1)

    @property
    def only_turned(self) -> bool:
        """Whether the camera turned on the spot, so that the poses mean nothing however well they fit. One who walks along a
        flat wall has such pairs too, but moves; one who takes a few small steps has some pairs that show depth."""
        return self.turned_only >= _ALL_TURNED and self.baseline < _LEAST_BASELINE

    @property
    def parts(self) -> tuple[int, ...]:
        """Photos of the models that are worth telling; there are often tiny ones besides."""
        return tuple(size for size in self.models if size >= _GROUP * self.photos)

    def to_json(self) -> dict[str, Any]:
        """Plain values, the share included."""
        return {**asdict(self), "registered_share": self.share}


@dataclass(frozen=True)
class Evidence:
    """What is known about photos and matches, for advice.

    Attributes:
        names: N photos, in the order of the walk.
        features: (N,) of each photo.
        graph: verified matches.
        blurred: share of the frames of a video that were left out as blurred.
    """

    names: Sequence[str]
    features: np.ndarray
    graph: MatchGraph
    blurred: float = 0.0


def quality_of(models: Sequence[Model], evidence: Evidence) -> Quality:
    """Of the best model, the first."""
    sizes = tuple(len(model.registered) for model in models)
    groups = tuple(len(rows) for rows in evidence.graph.components(len(evidence.names)))
    count, turned = len(evidence.names), evidence.graph.turned_only
    if not models:
        return Quality(count, 0, 0, float("nan"), 0.0, (), groups, turned, float("nan"))
    best = models[0]
    return Quality(
        count, sizes[0], best.points, best.reprojection_px, best.track_length, sizes, groups, turned, best.baseline
    )


def missing_ranges(names: Sequence[str], registered: Sequence[str], most: int = 4) -> str:
    """Which photos have no pose, as the longest runs of the walk: ``a to b (7)``, …"""
    known = np.isin(np.array(names, dtype=object), np.array(registered, dtype=object))
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(np.int8)))
    runs = sorted(zip(edges[::2], edges[1::2], strict=True), key=lambda run: run[0] - run[1])
    words = [
        f"{names[start]} to {names[end - 1]} ({end - start})" if end - start > 1 else names[start]
        for start, end in sorted(runs[:most])
    ]
    return ", ".join(words) + (f", and {len(runs) - most} more" if len(runs) > most else "")


def advice(quality: Quality, evidence: Evidence) -> str:
    """What was seen and what would help, the likeliest reason first; one line."""
    found = [
        _features(evidence),
        _groups(evidence),
        _turning(evidence),
        _weak_links(evidence),
        _blur(evidence),
        _several_models(quality),
    ]
    reasons = [words for words in found if words]
    if not reasons:
        reasons = ["no single cause was found: film slower and closer to things with texture, or raise --fps"]
    return "; ".join(reasons[:3])


def _features(evidence: Evidence) -> str:
    typical = int(np.median(evidence.features)) if len(evidence.features) else 0
    if typical >= _FEW_FEATURES:
        return ""
    return f"the photos have few features (half have less than {typical}): they are blurred, dark, small or show bare walls"


def _groups(evidence: Evidence) -> str:
    groups = [rows for rows in evidence.graph.components(len(evidence.names)) if len(rows) >= _GROUP * len(evidence.names)]
    if len(groups) < 2:
        return ""
    spans = ", ".join(
        f"{len(rows)} photos from {evidence.names[rows[0]]} to {evidence.names[rows[-1]]}" for rows in groups[:3]
    )
    return f"{len(groups)} groups of photos share nothing ({spans}): map two places by themselves, or film what joins them"


def _turning(evidence: Evidence) -> str:
    share = evidence.graph.turned_only
    if share < _TURNED:
        return ""
    return (
        f"{share:.0%} of the matched pairs could come from a camera that only turned, or saw one flat wall: walk sideways "
        "while filming instead of turning on the spot"
    )


def _weak_links(evidence: Evidence) -> str:
    following = evidence.graph.pairs[:, 1] - evidence.graph.pairs[:, 0] == 1
    missing = max(len(evidence.names) - 1 - int(following.sum()), 0)
    inliers = np.concatenate([evidence.graph.inliers[following], np.zeros(missing)])
    typical = float(np.median(inliers)) if len(inliers) else 0.0
    if typical >= _FEW_INLIERS:
        return ""
    return f"photos that follow one another share few matches (half fewer than {typical:.0f}): film slower, or raise --fps"


def _blur(evidence: Evidence) -> str:
    if evidence.blurred < _BLURRED:
        return ""
    return f"{evidence.blurred:.0%} of the frames were blurred: film slower or with more light"


def _several_models(quality: Quality) -> str:
    if len(quality.parts) < 2:
        return ""
    sizes = ", ".join(map(str, quality.parts))
    return f"the map fell into {len(quality.parts)} parts of {sizes} photos: film the places between them again"
