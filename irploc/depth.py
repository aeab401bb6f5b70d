"""Depth maps beside photos: where they lie, what they say in metres, and the sensor that took them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from irploc.errors import BadInput, NotFound
from irploc.geometry.cameras import Camera

_NOTHING_MM = (0, 65535)
# The sensor of 7-Scenes. Its focal length is the dataset's; where it sits was fitted by scripts/fit_depth_sensor.py on 100
# depth maps of the kitchen (two halves of them agree to 0.001 rad and 1 mm).
_KINECT = Camera("SIMPLE_PINHOLE", 640, 480, (585.0, 320.0, 240.0))
_KINECT_ROTATION, _KINECT_TRANSLATION_M = (0.0073, 0.0014, 0.0078), (-0.0264, 0.0046, -0.0011)


@dataclass(frozen=True)
class DepthSensor:
    """What took the depth maps of a photo.

    Attributes:
        camera: its intrinsics, for the size of the depth maps.
        photo_from_depth: (4, 4), its coordinates to those of the photo's camera, metres.
    """

    camera: Camera
    photo_from_depth: np.ndarray


def depth_path(image: Path) -> Path | None:
    """The depth map beside a photo, None where there is none.

    ``frame-000005.depth.png`` for ``frame-000005.color.jpg`` (7-Scenes), else ``<stem>.depth.png``.
    """
    path = image.with_name(f"{image.stem.removesuffix('.color')}.depth.png")
    return path if path.is_file() else None


def read_depth(path: Path) -> np.ndarray:
    """(H, W) float32 metres along the optical axis, NaN where nothing was measured (0 and 65535 mm).

    Raises:
        NotFound: no such file. BadInput: when it cannot be read, or is no 16-bit grey picture.
    """
    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I;16"):
                raise BadInput(f"{path} is a picture of kind {image.mode}, expected 16-bit grey with millimetres")
            levels = np.asarray(image)
    except FileNotFoundError:
        raise NotFound(f"no depth map {path}") from None
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path} cannot be read as a depth map: {str(error).splitlines()[0]}") from None
    return np.where(np.isin(levels, _NOTHING_MM), np.float32(np.nan), levels.astype(np.float32) / np.float32(1000))


def depth_sensor(source: str, photo: Camera) -> DepthSensor:
    """The sensor of a photo's depth maps.

    Args:
        source: ``Scene.source``. The depth maps of 7-Scenes are the sensor's own, which looks from beside the colour camera
            and has another focal length; those of other sources are taken to fit the photos pixel by pixel.
        photo: the intrinsics of the photo.
    """
    if source != "7scenes":
        return DepthSensor(photo, np.eye(4))
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_rotvec(_KINECT_ROTATION).as_matrix()
    motion[:3, 3] = _KINECT_TRANSLATION_M
    return DepthSensor(_KINECT, motion)
