"""How far estimates are from the truth: errors, recalls, and the pose files other tools write and read."""

from irploc.evaluation.names import matching_rows
from irploc.evaluation.pose_files import NamedPoses, read_pose_file, write_pose_file
from irploc.evaluation.results import Evaluation, MethodResult, evaluate_methods
from irploc.evaluation.scores import RECALL_THRESHOLDS, Scores, score_poses

__all__ = [
    "RECALL_THRESHOLDS",
    "Evaluation",
    "MethodResult",
    "NamedPoses",
    "Scores",
    "evaluate_methods",
    "matching_rows",
    "read_pose_file",
    "score_poses",
    "write_pose_file",
]
