"""A mapped place: ``Scene`` and its folder, its ``Frames``, and the tables they are kept in."""

from irploc.scene.frames import (
    LEARNED,
    SPLITS,
    UNIT_TOLERANCE,
    Frames,
    Rejected,
    check_frames,
    learned_note,
    mapping_fingerprint,
    name_of,
    poses_from_columns,
)
from irploc.scene.scene import UNFINISHED, Scene
from irploc.scene.tables import COLUMNS, LABEL_COLUMN, POSE_COLUMNS

__all__ = [
    "COLUMNS",
    "LABEL_COLUMN",
    "LEARNED",
    "POSE_COLUMNS",
    "SPLITS",
    "UNFINISHED",
    "UNIT_TOLERANCE",
    "Frames",
    "Rejected",
    "Scene",
    "check_frames",
    "learned_note",
    "mapping_fingerprint",
    "name_of",
    "poses_from_columns",
]
