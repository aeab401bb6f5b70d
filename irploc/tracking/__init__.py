"""Poses for every frame of a video, each found with the help of the last."""

from irploc.tracking.motion import predicted
from irploc.tracking.pipeline import Prepared, prepared
from irploc.tracking.tracker import FLOWED, FOLLOWED, LOCATED, Tracked, Tracker, TrackOptions

__all__ = ["FLOWED", "FOLLOWED", "LOCATED", "Prepared", "TrackOptions", "Tracked", "Tracker", "predicted", "prepared"]
