"""Correlated image pairs: which photos of a scene see the same things (CIPS, Algorithm 1 of the Siamese paper)."""

from irploc.pairs.matrix import PairMatrix
from irploc.pairs.options import PairOptions
from irploc.pairs.select import select_pairs, window_and_angle

__all__ = ["PairMatrix", "PairOptions", "select_pairs", "window_and_angle"]
