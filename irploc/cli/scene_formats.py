"""What another format cannot hold of a scene, in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from irploc.scene import Scene

_NO_CAMERA = ("tum",)
_SEQUENCES = ("csv", "7scenes")  # the others tell walks by folders at most
_UNITS_OPEN = ("colmap", "nerfstudio")  # their readers take no scale for granted; those of the others take metres


def lost_in(scene: Scene, format_name: str) -> list[str]:
    """What reading the export back does not give, each with what it was; empty where all is kept."""
    from irploc.readers.sevenscenes import can_keep_cameras

    frames = scene.frames
    lost = []
    if format_name == "7scenes" and not all(re.fullmatch(r"seq-\d\d+", walk) for walk in set(frames.sequences)):
        lost.append("the names of sequences (they are numbered)")
    if format_name not in _SEQUENCES and frames.sequences.tolist() != _read_back(scene, format_name):
        walks = sorted(set(frames.sequences))
        lost.append(f"the sequence{'s' if len(walks) > 1 else ''} ({', '.join(walks[:3])}{', …' if len(walks) > 3 else ''})")
    if scene.cameras and (format_name in _NO_CAMERA or (format_name == "7scenes" and not can_keep_cameras(scene))):
        first = next(iter(scene.cameras.values()))
        more = f" and {len(scene.cameras) - 1} more" if len(scene.cameras) > 1 else ""
        lost.append(f"the camera ({first.model}, focal {first.focal_px[0]:.1f} px{more})")
    if format_name in _UNITS_OPEN and scene.units == "metres":
        lost.append("the units (metres: import it with --metric)")
    if format_name in ("csv", "tum") and scene.units != "metres":
        lost.append(f"the units ({scene.units})")
    if format_name != "csv" and (learned := int(frames.learned.sum())):
        lost.append(f"which poses are estimates of irploc learn ({learned} of {len(frames)})")
    if format_name != "7scenes":
        lost.append(f"the ground truth's name ({scene.ground_truth})")
    return lost


def _read_back(scene: Scene, format_name: str) -> list[str]:
    """The sequences that the reader of the format will give the photos, by the names that the export holds."""
    from irploc.readers.base import sequences_by_folder

    frames = scene.frames
    if format_name == "tum":
        return [""] * len(frames)
    names = [str(image) for image in frames.images] if format_name == "nerfstudio" else frames.names
    return sequences_by_folder(names)
