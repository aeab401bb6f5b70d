"""The photos that an export is checked, calibrated and measured on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.errors import BadInput, IrplocError
from irploc.geometry.poses import Poses
from irploc.images import decode_image, resize_to_max_side, to_array
from irploc.onnxmodel import Preparation
from irploc.scene import Frames
from irploc.training.dataset import spread

CHECKED, CALIBRATING, HELD_OUT, MEASURED = 16, 32, 16, 200
_LEAST_SIDE = 96
_MADE_UP_SIZES = ((320, 240), (240, 320), (257, 193))


@dataclass(frozen=True)
class Material:
    """Photos by what they are for.

    Attributes:
        frames: of the scene; None where it is not there, and made-up pictures take its place.
        preparation: what happens to them before the graph.
        most: photos that the loss of accuracy is measured on, at most.
    """

    frames: Frames | None
    preparation: Preparation
    most: int = MEASURED

    def __post_init__(self) -> None:
        if self.most < 1:
            raise BadInput(f"the loss of accuracy cannot be measured on {self.most} photos, at least 1 is needed")

    @property
    def words(self) -> str:
        """What the check is made on."""
        return "made-up pictures" if self.frames is None else "mapping photos"

    def to_check(self) -> list[np.ndarray]:
        """(B, 3, H, W) uint8 each: photos one by one, several at once, and one in other sizes."""
        single = self._mapping(CHECKED) if self.frames is not None else list(made_up_pictures())
        same = [photo for photo in single if photo.shape == single[0].shape][:4]
        other = [_reduced(single[0], share) for share in (0.8, 0.63)]
        return [*single, np.concatenate(same), *(photo for photo in other if min(photo.shape[2:]) >= _LEAST_SIDE)]

    def to_calibrate(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Mapping photos, (1, 3, H, W) each, to take ranges from and to choose on; no photo is among both if they suffice.

        Raises:
            BadInput: without a scene.
        """
        if self.frames is None:
            raise BadInput("int8 is calibrated on mapping photos: name the scene with --scene, or export fp32 or fp16")
        photos = self._mapping(CALIBRATING + HELD_OUT)
        held_out = photos[1::3]
        return ([photo for row, photo in enumerate(photos) if row % 3 != 1], held_out) if held_out else (photos, photos)

    def measured(self) -> tuple[str, Frames] | None:
        """The photos for errors against ground truth and their split: test, else validation, else mapping photos."""
        if self.frames is None:
            return None
        for split in ("test", "validation", "train"):
            rows = np.flatnonzero(self.frames.splits == split)
            if len(rows):
                return split, self.frames[rows[spread(len(rows), self.most)]]
        return None

    def decoded(self, frames: Frames) -> Iterator[tuple[np.ndarray, Poses]]:
        """(1, 3, H, W) uint8 and the true pose of each photo that can be read."""
        for row, path in enumerate(frames.images):
            photo = self._read(path)
            if photo is not None:
                yield photo, frames.poses[[row]]

    def _mapping(self, most: int) -> list[np.ndarray]:
        assert self.frames is not None
        mapping = self.frames.of_split("train")
        chosen = mapping if not len(mapping) else mapping[spread(len(mapping), most)]
        photos = [photo for photo in map(self._read, chosen.images) if photo is not None]
        if not photos:
            raise BadInput(f"none of {len(chosen)} mapping photos could be read, the first is {chosen.images[:1]}")
        return photos

    def _read(self, path: Path) -> np.ndarray | None:
        try:
            return to_array(self.preparation.apply(decode_image(path)))[None]
        except IrplocError:
            return None  # gone or damaged: another photo serves as well


def made_up_pictures() -> Iterator[np.ndarray]:
    """(1, 3, H, W) uint8: smooth random colours, for where no photos are."""
    generator = np.random.default_rng(0)
    for width, height in _MADE_UP_SIZES:
        coarse = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        yield to_array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))[None]


def _reduced(photo: np.ndarray, share: float) -> np.ndarray:
    image = Image.fromarray(np.ascontiguousarray(photo[0].transpose(1, 2, 0)))
    return to_array(resize_to_max_side(image, round(share * max(image.size))))[None]
