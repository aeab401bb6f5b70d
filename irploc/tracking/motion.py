"""Where a camera will be, from where it was."""

from __future__ import annotations

from irploc.geometry.poses import Poses
from irploc.geometry.rotations import conjugate, multiply, quaternion_exp, quaternion_log


def predicted(before: Poses, last: Poses, share: float) -> Poses:
    """The next pose at constant velocity.

    Args:
        before, last: one row each.
        share: time from the last pose to the next over the time between the two.

    Returns:
        One row; the centre goes on straight, the rotation about the same axis of the camera.
    """
    centers_m = last.centers_m + share * (last.centers_m - before.centers_m)
    turned = multiply(conjugate(before.world_from_cam_wxyz), last.world_from_cam_wxyz)
    turned = quaternion_exp(share * quaternion_log(turned))
    return Poses(centers_m, multiply(last.world_from_cam_wxyz, turned))
