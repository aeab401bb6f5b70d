"""The cameras of photos, also of those whose intrinsics only the user knows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from irploc.errors import BadInput, summarize
from irploc.geometry.cameras import Camera
from irploc.images import decoded_size
from irploc.pairs.angle import corner_angle_deg
from irploc.scene import Frames


def corner_angles(frames: Frames, cameras: Mapping[str, Camera], fov_deg: float | None) -> np.ndarray:
    """(N,) ``corner_angle_deg`` of each photo; half of ``fov_deg`` where the scene knows no camera.

    Raises:
        BadInput: for photos without intrinsics when ``fov_deg`` is not given.
    """
    _require(frames, fov_deg, "or --angle DEG (largest angle of a pair)")
    known = {name: corner_angle_deg(camera) for name, camera in cameras.items()}
    return np.array([known[name] if name else (fov_deg or np.nan) / 2 for name in frames.cameras])


def photo_cameras(
    frames: Frames, cameras: Mapping[str, Camera], fov_deg: float | None, rows: np.ndarray, instead: str
) -> dict[int, Camera]:
    """Row -> camera of some photos; a pinhole of the photo's size and this field of view where the scene knows none.

    Args:
        fov_deg: diagonal, degrees.
        rows: those wanted.
        instead: ends the message of the error, with what else the user can do.

    Raises:
        BadInput: for photos without intrinsics when ``fov_deg`` is not given, and for unreadable ones when it is.
    """
    _require(frames[rows], fov_deg, instead)
    return {
        row: cameras[frames.cameras[row]] if frames.cameras[row] else _pinhole(*decoded_size(frames.images[row]), fov_deg)
        for row in rows.tolist()
    }


def _pinhole(width: int, height: int, fov_deg: float | None) -> Camera:
    assert fov_deg is not None
    focal = np.hypot(width, height) / 2 / np.tan(np.radians(fov_deg) / 2)
    return Camera("SIMPLE_PINHOLE", width, height, (float(focal), width / 2, height / 2))


def _require(frames: Frames, fov_deg: float | None, instead: str) -> None:
    unknown = [name for name, camera in zip(frames.names, frames.cameras, strict=True) if not camera]
    if unknown and fov_deg is None:
        raise BadInput(
            f"{len(unknown)} of {len(frames)} photos have no intrinsics; first: {summarize(unknown)}: give --fov DEG (their "
            f"diagonal field of view), {instead}"
        )
