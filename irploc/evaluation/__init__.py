"""How far estimates are from the truth: errors, recalls, and the pose files other tools write and read."""

from irploc.evaluation.confidence import KeptCurve, Reliability, calibration_curve, kept_curve, reliability
from irploc.evaluation.floor import with_floor_map
from irploc.evaluation.names import matching_rows
from irploc.evaluation.place import check_up_to_date, evaluate_place, side_by_side, units_note
from irploc.evaluation.pose_files import NamedPoses, read_pose_file, write_pose_file
from irploc.evaluation.predictions import evaluate_pose_files
from irploc.evaluation.results import Corrected, Evaluation, MethodResult, evaluate_methods
from irploc.evaluation.scores import RECALL_THRESHOLDS, Scores, score_poses

__all__ = [
    "RECALL_THRESHOLDS",
    "Corrected",
    "Evaluation",
    "KeptCurve",
    "MethodResult",
    "NamedPoses",
    "Reliability",
    "Scores",
    "calibration_curve",
    "check_up_to_date",
    "evaluate_methods",
    "evaluate_place",
    "evaluate_pose_files",
    "kept_curve",
    "matching_rows",
    "read_pose_file",
    "reliability",
    "score_poses",
    "side_by_side",
    "units_note",
    "with_floor_map",
    "write_pose_file",
]
