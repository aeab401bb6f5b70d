"""Do the depth test and the ORB test agree on the pairs that have depth?"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput
from irploc.pairs.contents import ContentTests
from irploc.pairs.matrix import TURNED, PairMatrix
from irploc.pairs.options import PairOptions
from irploc.scene import Scene


@dataclass(frozen=True)
class Agreement:
    """Both tests on the same pairs.

    Attributes:
        both, depth_only, orb_only, neither: how many pairs were accepted by which.
        depth_seconds, orb_seconds: what the tests took.
    """

    both: int
    depth_only: int
    orb_only: int
    neither: int
    depth_seconds: float
    orb_seconds: float

    @property
    def pairs(self) -> int:
        """How many were compared."""
        return self.both + self.depth_only + self.orb_only + self.neither

    @property
    def share(self) -> float:
        """Of pairs on which both say the same."""
        return (self.both + self.neither) / self.pairs

    @property
    def depth_accepts(self) -> float:
        """Share of pairs that depth accepts; a test that accepts all agrees on so many."""
        return (self.both + self.depth_only) / self.pairs

    @property
    def of_accepted(self) -> float:
        """Share of the pairs that depth accepts that ORB accepts too; NaN where there is none."""
        accepted = self.both + self.depth_only
        return self.both / accepted if accepted else float("nan")

    @property
    def of_rejected(self) -> float:
        """Share of the pairs that depth rejects that ORB rejects too; NaN where there is none."""
        rejected = self.neither + self.orb_only
        return self.neither / rejected if rejected else float("nan")


def measure_agreement(scene: Scene, found: PairMatrix, options: PairOptions, quiet: bool = True) -> Agreement:
    """Runs both tests on all candidates of ``found`` that have depth and are not turned too far.

    Raises:
        BadInput: when no pair has depth; and as the tests.
    """
    frames = scene.frames.of_split("train") if options.split == "train" else scene.frames
    tests = ContentTests(scene, frames, found.pairs, options, quiet)
    rows = tests.with_depth(np.flatnonzero(found.reasons != TURNED))
    if not len(rows):
        raise BadInput(f"no pair of {scene.name} has a depth map, which --agreement compares with: leave --agreement out")
    started = time.perf_counter()
    depth = tests.depth(rows)
    after_depth = time.perf_counter()
    orb = tests.orb(rows)
    after_orb = time.perf_counter()
    known = np.isfinite(depth)
    if not known.any():
        raise BadInput(f"the depth maps of {scene.name} measured nothing that two photos share: leave --agreement out")
    near, alike = depth[known] >= options.min_depth, orb[known] >= options.smallest_match_share
    both, depth_only, orb_only, neither = (
        int((a & b).sum()) for a, b in ((near, alike), (near, ~alike), (~near, alike), (~near, ~alike))
    )
    return Agreement(both, depth_only, orb_only, neither, after_depth - started, after_orb - after_depth)
