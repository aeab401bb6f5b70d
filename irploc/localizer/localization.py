"""``Localization``: the answer for one photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from irploc.geometry.poses import Poses

if TYPE_CHECKING:  # both bring libraries that a device with an exported model need not have
    from irploc.estimators.base import UsedCamera
    from irploc.floormap import PlanePose


@dataclass(frozen=True)
class Corrected:
    """A position moved to the nearest walkable place, and how far that was; 0 where it was walkable."""

    center_m: tuple[float, float, float]
    moved_m: float

    def to_json(self) -> dict[str, Any]:
        """The fields in order."""
        return {"center_m": list(self.center_m), "moved_m": self.moved_m}


@dataclass(frozen=True)
class Localization:
    """The answer for one photo.

    Attributes:
        image: its path as given, or a name.
        status: ``ok``, ``approximate`` (a method of accurate poses found none, ``pose`` is that of the one it started
            from), ``not_localized`` or ``outside_map`` (the position is not walkable; ``pose`` stays as it is).
        method, scene: what answered, and where.
        pose: one row; NaN when not localized.
        confidence: in [0, 1], or None where the method is not calibrated.
        neighbours: (name, cosine similarity) of mapping photos, best first.
        timing_ms: milliseconds spent in ``decode``, ``encode`` and ``estimate``.
        units: of the centre; ``metres`` unless the scene has no metric scale.
        expected_error: metres and degrees, as likely exceeded as not; None where nobody knows.
        spread: metres and degrees by which the heads of an ensemble differ; None without one.
        corrected: the position on the floor map; None without a map or a pose.
        outside_m: metres from the method's position to walkable ground, also where they are too many to believe it; None
            without a floor map or an answer of the method.
        plane_pose: ``pose`` seen from above, not corrected; None without a pose or where nobody knows what is up.
        camera: the intrinsics that were used, and where they come from; None for methods that need none.
        note: what was assumed or went wrong, a sentence; None where there is nothing to say.
    """

    image: str
    status: str
    method: str
    scene: str
    pose: Poses
    confidence: float | None
    neighbours: tuple[tuple[str, float], ...]
    timing_ms: dict[str, float]
    units: str = "metres"
    expected_error: tuple[float, float] | None = None
    spread: tuple[float, float] | None = None
    corrected: Corrected | None = None
    outside_m: float | None = None
    plane_pose: PlanePose | None = None
    camera: UsedCamera | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that ``irploc localize --json`` prints."""
        qvec, tvec = self.pose.to_cam_from_world()
        found = bool(self.pose.valid[0])
        return {
            "image": self.image,
            "status": self.status,
            "method": self.method,
            "scene": self.scene,
            "units": self.units,
            "center_m": self.pose.centers_m[0].tolist() if found else None,
            "world_from_cam_wxyz": self.pose.world_from_cam_wxyz[0].tolist() if found else None,
            "cam_from_world": {"qvec_wxyz": qvec[0].tolist(), "tvec_m": tvec[0].tolist()} if found else None,
            "confidence": self.confidence,
            "expected_error": _named(self.expected_error),
            "spread": _named(self.spread),
            "corrected": None if self.corrected is None else self.corrected.to_json(),
            "outside_m": self.outside_m,
            "plane_pose": None if self.plane_pose is None else self.plane_pose.to_json(),
            "camera": None if self.camera is None else self.camera.to_json(),
            "note": self.note,
            "neighbours": [{"name": name, "similarity": round(value, 6)} for name, value in self.neighbours],
            "timing_ms": {name: round(value, 3) for name, value in self.timing_ms.items()},
        }


def _named(error: tuple[float, float] | None) -> dict[str, float] | None:
    return None if error is None else {"position_m": round(error[0], 6), "rotation_deg": round(error[1], 6)}
