"""The ground plane of a scene: which axis is up, and poses as x, y and heading on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irploc.errors import BadInput
from irploc.geometry import rotations
from irploc.geometry.poses import Poses

# up -> the axes that lie to the right and upwards on a plan seen from above, so that it is not mirrored
PLANES = {"z": (0, 1), "-z": (1, 0), "y": (2, 0), "-y": (0, 2), "x": (1, 2), "-x": (2, 1)}
_LEAST_ON_PLANE = 0.1  # of a viewing direction: within 6 degrees of the vertical there is no heading
_UPRIGHT = 0.7  # share of an axis in the photos' mean upward direction that makes it the vertical


@dataclass(frozen=True)
class PlanePose:
    """A pose on the ground plane.

    Attributes:
        x_m, y_m: along the two axes of the plane (``plane_axes``); scene x and y where z is up.
        heading_deg: of the optical axis, counter-clockwise from the first axis seen from above, in [0, 360); None where the
            camera looks straight up or down.
    """

    x_m: float
    y_m: float
    heading_deg: float | None

    def to_json(self) -> dict[str, float | None]:
        """The fields in order."""
        return dict(vars(self))


def plane_axes(up: str) -> tuple[int, int]:
    """The scene axes that lie to the right and upwards on a plan seen from above.

    Raises:
        BadInput: for anything but ``x``, ``-x``, ``y``, ``-y``, ``z``, ``-z``.
    """
    if up not in PLANES:
        raise BadInput(f"up is {up!r}, expected one of {', '.join(PLANES)}")
    return PLANES[up]


def plane_poses(poses: Poses, up: str = "z") -> list[PlanePose | None]:
    """N poses on the ground plane, None for rows without a pose."""
    axes = list(plane_axes(up))
    places = poses.centers_m[:, axes]
    headings = headings_deg(poses, up)
    return [
        PlanePose(float(x), float(y), None if np.isnan(heading) else float(heading)) if valid else None
        for (x, y), heading, valid in zip(places, headings, poses.valid, strict=True)
    ]


def headings_deg(poses: Poses, up: str = "z") -> np.ndarray:
    """(N,) degrees in [0, 360) of the optical axes on the plane; NaN where there is none."""
    headings = np.full(len(poses), np.nan)
    rows = np.flatnonzero(poses.valid)
    ahead = rotations.rotate(poses.world_from_cam_wxyz[rows], [0.0, 0.0, 1.0])[:, list(plane_axes(up))]
    level = np.linalg.norm(ahead, axis=1) > _LEAST_ON_PLANE
    angles = np.degrees(np.arctan2(ahead[level, 1], ahead[level, 0])) % 360.0
    headings[rows[level]] = np.where(angles == 360.0, 0.0, angles)  # what rounding makes of a tiny negative angle
    return headings


def up_of_photos(poses: Poses) -> str | None:
    """The axis that photos, held upright on the whole, have as theirs; None where they have none in common."""
    upward = rotations.rotate(poses.world_from_cam_wxyz[poses.valid], [0.0, -1.0, 0.0]).mean(axis=0)
    axis = int(np.argmax(np.abs(upward)))
    if abs(upward[axis]) < _UPRIGHT:
        return None
    return ("" if upward[axis] > 0 else "-") + "xyz"[axis]
