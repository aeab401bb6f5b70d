"""The intrinsics of a photo that is to be localized: who says so, and what is assumed where nobody does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.geometry.cameras import CAMERA_MODELS, Camera
from irploc.images import EncodedPhoto, open_photo

GIVEN, FOCAL, EXIF, SCENE, ESTIMATED = "given", "focal", "exif", "scene", "estimated"
_ASPECT = 0.005  # relative difference of aspects that are the same
_AGREE = 0.02  # relative difference of focal lengths that are the same
_USUAL = 1.2  # focal length in longer sides, where nothing is known
_FILM_DIAGONAL_MM = 43.27  # of 36 x 24: what 35 mm equivalents refer to (CIPA DCG-001)
_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0}  # of the focal plane's resolution
_EXIF_IFD, _FOCAL_35, _FOCAL_MM, _PLANE_X, _PLANE_UNIT, _WIDTH = 0x8769, 0xA405, 0x920A, 0xA20E, 0xA210, 0xA002
_PLAUSIBLE = (0.2, 20.0)  # focal lengths in longer sides


@dataclass(frozen=True)
class Intrinsics:
    """Of one photo.

    Attributes:
        source: ``given``, ``focal``, ``exif``, ``scene`` or ``estimated``.
        camera: for the photo's size; where the focal length is to be estimated, what it starts from.
    """

    source: str
    camera: Camera

    @property
    def focal_known(self) -> bool:
        """Whether the focal length need not be found with the pose."""
        return self.source != ESTIMATED

    @property
    def certain(self) -> bool:
        """Whether somebody said so, so that nothing else is tried."""
        return self.source in (GIVEN, FOCAL)


def intrinsics_of(
    size: tuple[int, int],
    map_cameras: list[Camera],
    given: Camera | None = None,
    focal_px: float | None = None,
    exif_px: float | None = None,
) -> Intrinsics:
    """What is known of a photo's camera, the surest first.

    Args:
        size: (width, height) of the photo.
        map_cameras: those of the mapping photos.
        given: what the caller says; scaled where the photo has another size.
        focal_px: what a person says; the principal point is in the middle.
        exif_px: what the file says.
    """
    if focal_px is not None:
        return Intrinsics(FOCAL, pinhole(size, focal_px))
    if given is not None:
        fitted = fitted_to(given, size)
        if fitted is not None:
            return Intrinsics(GIVEN, fitted)
    alike = like_the_map(size, map_cameras)
    if exif_px is not None:
        if alike is not None and abs(np.log(max(alike.focal_px) / exif_px)) < 2.0 * _AGREE:
            return Intrinsics(SCENE, alike)  # the same lens, and the map knows it better
        return Intrinsics(EXIF, pinhole(size, exif_px))
    if alike is not None:
        return Intrinsics(SCENE, alike)
    return estimated(size, map_cameras)


def estimated(size: tuple[int, int], map_cameras: list[Camera]) -> Intrinsics:
    """A focal length to be found with the pose, starting from the angle of view that the map's cameras have."""
    shares = [max(camera.focal_px) / max(camera.width, camera.height) for camera in map_cameras]
    return Intrinsics(ESTIMATED, pinhole(size, float(np.median(shares or [_USUAL])) * max(size)))


def pinhole(size: tuple[int, int], focal_px: float) -> Camera:
    """Without distortion, its principal point in the middle."""
    return Camera("SIMPLE_PINHOLE", *size, (focal_px, size[0] / 2, size[1] / 2))


def like_the_map(size: tuple[int, int], map_cameras: list[Camera]) -> Camera | None:
    """The mapping photos' camera for a photo of the same shape, upright or turned; None where they differ or none has it."""
    fitted = [camera for camera in (fitted_to(each, size) for each in map_cameras) if camera is not None]
    if not fitted:
        fitted = [camera for camera in (fitted_to(turned(each), size) for each in map_cameras) if camera is not None]
    if not fitted:
        return None
    focal = np.array([max(camera.focal_px) for camera in fitted])
    if focal.max() / focal.min() > 1.0 + _AGREE:
        return None
    return fitted[int(np.argmin(np.abs(focal - np.median(focal))))]


def fitted_to(camera: Camera, size: tuple[int, int]) -> Camera | None:
    """The camera for its photos reduced or enlarged to another size; None where the shape is another one."""
    if (camera.width, camera.height) == size:
        return camera
    across, down = size[0] / camera.width, size[1] / camera.height
    # sizes are rounded to whole pixels: small pictures have coarse aspects
    if abs(across / down - 1.0) > max(_ASPECT, 1.0 / min(size)):
        return None
    factors = {"f": (across + down) / 2, "fx": across, "fy": down, "cx": across, "cy": down}
    names = CAMERA_MODELS[camera.model]
    params = [value * factors.get(name, 1.0) for name, value in zip(names, camera.params, strict=True)]
    return Camera(camera.model, *size, tuple(params))


def turned(camera: Camera) -> Camera:
    """The camera held upright instead of across, or the other way round.

    Nobody knows which way it was turned: its principal point is put in the middle, and distortion that is not round the axis
    is left out.
    """
    values = dict(zip(CAMERA_MODELS[camera.model], camera.params, strict=True))
    swapped = {**values, "cx": camera.height / 2, "cy": camera.width / 2}
    if "fx" in values:
        swapped |= {"fx": values["fy"], "fy": values["fx"]}
    swapped |= {name: 0.0 for name in values if name[0] in "ps"}
    return Camera(camera.model, camera.height, camera.width, tuple(swapped.values()))


def exif_focal_px(photo: Path | EncodedPhoto) -> float | None:
    """The focal length that a photo's file tells, in pixels of its longer side's picture; None where it tells none."""
    try:
        with open_photo(photo) as image:
            tags = image.getexif().get_ifd(_EXIF_IFD)
            return focal_px_of_exif(tags, image.size)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        return None  # damaged metadata says nothing


def focal_px_of_exif(tags: dict[int, object], size: tuple[int, int]) -> float | None:
    """From EXIF's tags: the 35 mm equivalent, else the focal length and the sensor's resolution."""
    equivalent = float(tags.get(_FOCAL_35) or 0)  # type: ignore[arg-type]
    if equivalent > 0:
        return _plausible(equivalent / _FILM_DIAGONAL_MM * float(np.hypot(*size)), size)
    focal_mm, resolution = float(tags.get(_FOCAL_MM) or 0), float(tags.get(_PLANE_X) or 0)  # type: ignore[arg-type]
    unit = _MM_PER_UNIT.get(int(tags.get(_PLANE_UNIT) or 2))  # type: ignore[call-overload]
    taken = float(tags.get(_WIDTH) or max(size))  # type: ignore[arg-type]
    if focal_mm > 0 and resolution > 0 and unit and taken > 0:
        return _plausible(focal_mm * resolution / unit * max(size) / max(taken, 1.0), size)
    return None


def _plausible(focal_px: float, size: tuple[int, int]) -> float | None:
    share = focal_px / max(size)
    return focal_px if _PLAUSIBLE[0] < share < _PLAUSIBLE[1] else None
