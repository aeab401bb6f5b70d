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
        shared: which photos have the same camera: ``single`` (all), ``folder``, or ``photo`` (none).
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
    mode = _enter(database, photos, names, cameras)
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
                camera_mode=mode,
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


def _enter(database: Path, photos: Path, names: Sequence[str], cameras: CameraOptions) -> object:
    """Enters all photos and their cameras at once, so that they share one however often the work is interrupted; COLMAP's
    word for how."""
    pycolmap = import_pycolmap()
    mode = {
        "single": pycolmap.CameraMode.SINGLE,
        "folder": pycolmap.CameraMode.PER_FOLDER,
        "photo": pycolmap.CameraMode.PER_IMAGE,
    }[cameras.shared]
    with pycolmap.Database.open(str(database)) as opened:
        known = {image.name for image in opened.read_all_images()}
    if known == set(names):
        return mode
    if known:  # killed while they were entered
        database.unlink()
        with pycolmap.Database.open(str(database)):
            pass
    sizes = [decoded_size(photos / name) for name in names]
    _check_sizes(names, sizes, cameras)
    options = pycolmap.ImageReaderOptions()
    options.camera_model, options.camera_params = cameras.model, cameras.params(*sizes[0])
    try:
        pycolmap.import_images(str(database), str(photos), camera_mode=mode, image_names=list(names), options=options)
    except (ValueError, RuntimeError) as error:
        raise BadInput(f"COLMAP cannot take the photos in {photos}: {str(error).splitlines()[-1]}") from None
    return mode


def _check_sizes(names: Sequence[str], sizes: Sequence[tuple[int, int]], cameras: CameraOptions) -> None:
    """Raises BadInput where photos that share a camera, or a focal length, differ in size."""
    groups = [name.rpartition("/")[0] if cameras.shared == "folder" else "" for name in names]
    if cameras.shared == "photo" and cameras.focal_px is None:
        return
    first: dict[str, int] = {}
    for row, group in enumerate(groups):
        other = first.setdefault("" if cameras.focal_px is not None else group, row)
        if sizes[row] != sizes[other]:
            (w1, h1), (w2, h2) = sizes[other], sizes[row]
            raise BadInput(
                f"{names[other]} is {w1}x{h1} and {names[row]} is {w2}x{h2}: they cannot share one camera; use "
                "--cameras folder or --cameras photo, without --focal"
            )
