"""Whether the optical axis of a photo is far from its middle, as in one that was cropped on one side."""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from irploc.structure.solution import Solution

_SHIFT = 0.02  # of the longer side
_FITS_BETTER = 0.97  # share of the robust cost that is left with another principal point


def is_off_centre(solution: Solution, points_m: np.ndarray) -> bool:
    """Whether another principal point fits the inliers clearly better.

    Args:
        solution: with a camera without distortion (SIMPLE_PINHOLE), whose principal point is in the middle.
        points_m: (K, 3) of the inliers.
    """
    qvec, tvec = solution.pose.to_cam_from_world()
    start, (focal, x, y) = Rotation.from_quat(np.roll(qvec[0], -1)), solution.camera.params

    def residuals(change: np.ndarray) -> np.ndarray:
        local = points_m @ (Rotation.from_rotvec(change[:3]) * start).as_matrix().T + tvec[0] + change[3:6]
        places = local[:, :2] / local[:, 2:] * focal * np.exp(change[6]) + [x + change[7] * focal, y + change[8] * focal]
        return np.asarray((places - solution.pixels).ravel())

    before = 0.5 * float(np.log1p(residuals(np.zeros(9)) ** 2).sum())
    found = least_squares(residuals, np.zeros(9), loss="cauchy", max_nfev=50)
    shift_px = float(np.linalg.norm(found.x[7:9])) * focal
    longer = max(solution.camera.width, solution.camera.height)
    return shift_px > _SHIFT * longer and found.cost < _FITS_BETTER * before
