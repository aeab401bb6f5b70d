"""What the selection of pairs can be told; the defaults of library and command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from irploc.errors import BadInput

TESTS = ("auto", "points", "depth", "orb", "none")
SPLITS = ("train", "all")
MIN_MATCHES, MIN_MATCHES_WITHOUT_POSES = 0.01, 0.06


@dataclass(frozen=True)
class PairOptions:
    """Settings of ``select_pairs``.

    Attributes:
        window: largest distance in ``index`` of two photos of a sequence, the paper's d; None is what 30 photos of the
            scene's walks span (``candidates.default_window``).
        neighbours: most similar mapping photos that each photo is paired with; 0 is none, None is
            ``candidates.NEIGHBOURS`` for photos without an order and none for the others.
        max_angle_deg: between the orientations of a pair; None is half the angle at which the frustums touch.
        fov_deg: diagonal field of view of photos without intrinsics.
        test: of the contents; ``auto`` takes points, else depth, else ORB, each where there are data.
        min_points, min_depth, min_matches: smallest shares that each test accepts, in [0, 1]; None for matches is
            ``MIN_MATCHES``, or ``MIN_MATCHES_WITHOUT_POSES`` when poses are left out.
        depth_tolerance: how far a depth may be from the one measured in the other photo, as a share of it.
        epipolar_px: how far a match may be from where the poses say, pixels of photos reduced to
            ``orb.MAX_SIDE``; 0 leaves poses out of the ORB test.
        split: photos to pair, ``train`` or ``all``.

    Raises:
        BadInput: for values that cannot be meant.
    """

    window: int | None = None
    neighbours: int | None = None
    max_angle_deg: float | None = None
    fov_deg: float | None = None
    test: str = "auto"
    min_points: float = 0.3
    min_depth: float = 0.3
    min_matches: float | None = None
    depth_tolerance: float = 0.1
    epipolar_px: float = 4.0
    split: str = "train"

    def __post_init__(self) -> None:
        _choice("test", self.test, TESTS)
        _choice("split", self.split, SPLITS)
        _range("window", self.window, 0, math.inf)
        _range("neighbours", self.neighbours, 0, math.inf)
        _range("angle", self.max_angle_deg, 0, 180)
        _range("fov", self.fov_deg, 1, 179)
        for name in ("min_points", "min_depth", "min_matches", "depth_tolerance"):
            _range(name.replace("_", "-"), getattr(self, name), 0, 1)
        _range("epipolar-px", self.epipolar_px, 0, math.inf)

    @property
    def smallest_match_share(self) -> float:
        """``min_matches``, or its default."""
        if self.min_matches is not None:
            return self.min_matches
        return MIN_MATCHES if self.epipolar_px else MIN_MATCHES_WITHOUT_POSES


def _choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise BadInput(f"unknown {name} {value!r}, choose one of {', '.join(known)}")


def _range(name: str, value: Any, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        what = f"in [{low:g}, {high:g}]" if math.isfinite(high) else f"{low:g} or more"
        raise BadInput(f"{name} is {value}, it must be {what}")
