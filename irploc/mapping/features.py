"""SIFT features of photos in a COLMAP database."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from irploc.errors import BadInput
from irploc.geometry.cameras import CAMERA_MODELS
from irploc.images import decoded_size
from irploc.mapping.colmap_calls import interruptible
from irploc.progress import Progress
from irploc.pycolmap_safe import import_pycolmap

_CHUNK = 32  # photos a call, so that progress can be told
SHARED = ("single", "folder", "photo")
_DEVICES = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True)
class CameraOptions:
    """What is assumed of the cameras.

    Attributes:
        model: of COLMAP's.
        shared: which photos share a camera: ``single`` (all of a size), ``folder`` (those of a folder), ``photo`` (none).
        focal_px: where it is known; else EXIF's, else 1.2 times the longer side. It is refined in any case.

    Raises:
        BadInput: for an unknown model or word, or an impossible focal length.
    """

    model: str = "SIMPLE_RADIAL"
    shared: str = "single"
    focal_px: float | None = None

    def __post_init__(self) -> None:
        if self.model not in CAMERA_MODELS:
            raise BadInput(f"unknown camera model {self.model!r}, choose one of {', '.join(CAMERA_MODELS)}")
        if self.shared not in SHARED:
            raise BadInput(f"cameras is {self.shared!r}, choose one of {', '.join(SHARED)}")
        if self.focal_px is not None and not 0 < self.focal_px < float("inf"):
            raise BadInput(f"focal length is {self.focal_px} px, it must be positive")

    def params(self, width: int, height: int) -> str:
        """COLMAP's text for a camera of that size with the known focal length and no distortion; empty without one."""
        if self.focal_px is None:
            return ""
        known = {"f": self.focal_px, "fx": self.focal_px, "fy": self.focal_px, "cx": width / 2, "cy": height / 2}
        return ",".join(f"{known.get(name, 0.0):.6f}" for name in CAMERA_MODELS[self.model])


def extract_features(
    database: Path,
    photos: Path,
    names: Sequence[str],
    cameras: CameraOptions,
    max_features: int,
    max_side: int,
    device: str,
    progress: Progress,
) -> None:
    """Features of every photo that has none yet.

    Args:
        database: made if need be.
        photos: the folder that ``names`` are relative to.
        max_features: of a photo.
        max_side: larger photos are reduced to so many pixels; the features' places are those in the whole photo.
        device: ``auto``, ``cpu``, ``cuda``; a GPU is used where pycolmap was built for one.

    Raises:
        BadInput: a photo that cannot be read, or photos of several sizes that are said to share a camera.
    """
    pycolmap = import_pycolmap()
    _enter(database, photos, names, cameras)
    with pycolmap.Database.open(str(database)) as opened:
        ids = {image.name: image.image_id for image in opened.read_all_images()}
        missing = [name for name in names if not opened.num_keypoints_for_image(ids[name])]
    progress.advance(len(names) - len(missing))
    options = pycolmap.FeatureExtractionOptions()
    options.sift.max_num_features, options.max_image_size = max_features, max_side
    for start in range(0, len(missing), _CHUNK):
        chunk = missing[start : start + _CHUNK]
        interruptible(
            partial(
                pycolmap.extract_features,
                str(database),
                str(photos),
                image_names=chunk,
                camera_mode=pycolmap.CameraMode.AUTO,  # all have theirs
                extraction_options=options,
                device=colmap_device(device),
            ),
            database.parent,
        )
        progress.advance(len(chunk))


def feature_counts(database: Path) -> dict[str, int]:
    """How many features each photo has."""
    pycolmap = import_pycolmap()
    with pycolmap.Database.open(str(database)) as opened:
        return {image.name: opened.num_keypoints_for_image(image.image_id) for image in opened.read_all_images()}


def colmap_device(device: str) -> object:
    """pycolmap's word for a torch device; raises BadInput for a GPU that it cannot use."""
    pycolmap = import_pycolmap()
    if not _DEVICES.fullmatch(device):
        raise BadInput(f"unknown device {device!r}, choose auto, cpu or cuda")
    kind = device.partition(":")[0]
    if kind == "cuda" and not pycolmap.has_cuda:
        raise BadInput("this pycolmap was built without CUDA: use --device cpu, or install pycolmap-cuda12")
    return getattr(pycolmap.Device, kind)


def _enter(database: Path, photos: Path, names: Sequence[str], cameras: CameraOptions) -> None:
    """Enters all photos and their cameras at once, so that they share one however often the work is interrupted."""
    pycolmap = import_pycolmap()
    mode = pycolmap.CameraMode.PER_IMAGE if cameras.shared == "photo" else pycolmap.CameraMode.SINGLE
    try:
        with pycolmap.Database.open(str(database)) as opened:
            known = {image.name for image in opened.read_all_images()}
    except (RuntimeError, ValueError):
        known = {""}  # damaged
    if known == set(names):
        return
    if known:  # killed while they were entered
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        with pycolmap.Database.open(str(database)):
            pass
    sizes = [decoded_size(photos / name) for name in names]
    _check_focal(names, sizes, cameras)
    try:
        for group in _groups(names, sizes, cameras):
            options = pycolmap.ImageReaderOptions()
            options.camera_model = cameras.model
            options.camera_params = cameras.params(*sizes[names.index(group[0])])
            pycolmap.import_images(str(database), str(photos), camera_mode=mode, image_names=group, options=options)
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"COLMAP cannot take the photos in {photos}: {str(error).splitlines()[-1]}") from None


def _groups(names: Sequence[str], sizes: Sequence[tuple[int, int]], cameras: CameraOptions) -> list[list[str]]:
    """Photos that are entered together, so that they share a camera: those of one size, and of one folder if asked so."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for name, size in zip(names, sizes, strict=True):
        folder = name.rpartition("/")[0] if cameras.shared == "folder" else ""
        groups.setdefault((folder, *size), []).append(name)
    return [*groups.values()]


def _check_focal(names: Sequence[str], sizes: Sequence[tuple[int, int]], cameras: CameraOptions) -> None:
    """Raises BadInput where a focal length in pixels is given for photos of several resolutions."""
    longer = [max(size) for size in sizes]
    other = next((row for row, side in enumerate(longer) if side != longer[0]), None)
    if cameras.focal_px is not None and other is not None:
        (w1, h1), (w2, h2) = sizes[0], sizes[other]
        raise BadInput(
            f"{names[0]} is {w1}x{h1} and {names[other]} is {w2}x{h2}: one --focal cannot be right for both; leave it out"
        )
