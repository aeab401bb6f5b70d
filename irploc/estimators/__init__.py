"""Localization methods; importing this package registers all of them."""

from irploc.estimators import absolute, fused, interpolation, menet, mlp, robust, siamese, siamese_image, structure
from irploc.estimators.base import METHODS, Neighbours, PoseEstimates, PoseEstimator, Query

__all__ = [
    "METHODS",
    "Neighbours",
    "PoseEstimates",
    "PoseEstimator",
    "Query",
    "absolute",
    "fused",
    "interpolation",
    "menet",
    "mlp",
    "robust",
    "siamese",
    "siamese_image",
    "structure",
]
