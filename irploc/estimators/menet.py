"""Method ``menet``: how two photos of a mapped place stand to each other; where either was taken it does not say."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from irploc.errors import BadInput, Mismatch, NotFound
from irploc.estimators.base import METHODS, OK, Method, PoseEstimator, relative_only
from irploc.geometry.poses import Poses
from irploc.geometry.rotations import angle_between_deg
from irploc.images import Photo
from irploc.training.menet.answers import Answers
from irploc.training.menet.model import METHOD, TRAIN_COMMAND, MeNetModel, load_menet
from irploc.workspace import Workspace

if TYPE_CHECKING:
    from irploc.estimators.build import Place

NOT_RELATED = "not_related"
_IDENTITY = np.array([[1.0, 0.0, 0.0, 0.0]])


@dataclass(frozen=True)
class Relation:
    """The relative pose of two photos.

    Attributes:
        a, b: names of the photos.
        scene: the place whose model answered; the answer holds inside it.
        units: of lengths.
        status: ``ok``, or ``not_related`` where the answers of both orders contradict each other, see ``contradict``.
        motion: one ``a_from_b``: its centre is where camera b is seen from camera a, x right, y down, z forward; its
            quaternion turns directions of b into those of a. It is given whatever the status.
        apart_m, apart_deg: how far the answer for (a, b) lies from the inverse of that for (b, a).
        expected_error: median metres and degrees on pairs of photos that the model was not trained on; None where there were
            none.
        timing_ms: ``decode``, ``estimate``.
    """

    a: str
    b: str
    scene: str
    units: str
    status: str
    motion: Poses
    apart_m: float
    apart_deg: float
    expected_error: tuple[float, float] | None
    timing_ms: dict[str, float]

    @property
    def distance_m(self) -> float:
        """Between the cameras."""
        return float(np.linalg.norm(self.motion.centers_m[0]))

    @property
    def rotation_deg(self) -> float:
        """The angle between the cameras' orientations."""
        return float(angle_between_deg(self.motion.world_from_cam_wxyz, _IDENTITY)[0])

    @property
    def yaw_pitch_roll_deg(self) -> tuple[float, float, float]:
        """Camera b as camera a turned to the right, then up, then clockwise, each about the axes it has by then."""
        turn = Rotation.from_quat(self.motion.world_from_cam_wxyz[0], scalar_first=True)
        yaw, pitch, roll = turn.as_euler("YXZ", degrees=True)
        return float(yaw), float(pitch), float(roll)

    def to_json(self) -> dict[str, Any]:
        """The fields in order, numbers as plain Python ones."""
        yaw, pitch, roll = self.yaw_pitch_roll_deg
        return {
            "a": self.a,
            "b": self.b,
            "status": self.status,
            "scene": self.scene,
            "method": METHOD,
            "units": self.units,
            "a_from_b": {
                "qvec_wxyz": self.motion.world_from_cam_wxyz[0].tolist(),
                "tvec_m": self.motion.centers_m[0].tolist(),
            },
            "distance_m": self.distance_m,
            "rotation_deg": self.rotation_deg,
            "turn": {"right_deg": yaw, "up_deg": pitch, "clockwise_deg": roll},
            "expected_error": _of_two(self.expected_error),
            "consistency": {"position_m": self.apart_m, "rotation_deg": self.apart_deg},
            "timing_ms": self.timing_ms,
        }


class Relator:
    """A loaded model that relates photos.

    Args:
        model: of the place.

    Attributes:
        model: as given.
        scene: the place's name.
    """

    def __init__(self, model: MeNetModel) -> None:
        self.model = model
        self.scene = str(model.identity["scene"])

    @classmethod
    def open(cls, scene: str | None = None, model: Path | None = None, workspace: Path | str | None = None) -> Relator:
        """Finds the model of a place.

        Args:
            scene: name or folder of a scene; None takes the only one that has a model, or whatever ``model`` is of.
            model: its file; None takes the workspace's own.
            workspace: None takes the environment's, else the current folder.

        Raises:
            NotFound: no model. BadInput: several scenes have one, or it is damaged. Mismatch: it is of another scene, of
                other mapping photos than the scene now has, or no model of MeNet.
        """
        home = Workspace.locate(Path(workspace) if workspace is not None else None)
        path = model or home.model(_name_of(home, scene), METHOD)
        relator = cls(load_menet(path))
        _check_scene(relator.model, path, home, scene)
        return relator

    def relate(self, a: Photo | str, b: Photo | str) -> Relation:
        """How the camera of b stands to that of a: paths, PIL images or (H, W, 3) uint8 arrays.

        Raises:
            NotFound, BadInput: for a path that is no photo.
        """
        started = time.perf_counter()
        photos = [self.model.seen([Path(photo) if isinstance(photo, str) else photo]) for photo in (a, b)]
        decoded = time.perf_counter()
        answers = self.model.ask(*photos)
        timing_ms = {"decode": 1e3 * (decoded - started), "estimate": 1e3 * (time.perf_counter() - decoded)}
        names = [str(photo) if isinstance(photo, Path | str) else name for name, photo in (("a", a), ("b", b))]
        return Relation(
            a=names[0],
            b=names[1],
            scene=self.scene,
            units=str(self.model.identity["units"]),
            status=NOT_RELATED if contradict(self.model, answers)[0] else OK,
            motion=answers.motions,
            apart_m=float(answers.apart_m[0]),
            apart_deg=float(answers.apart_deg[0]),
            expected_error=self.model.watched_errors,
            timing_ms=timing_ms,
        )


def contradict(model: MeNetModel, answers: Answers) -> np.ndarray:
    """(P,) bool: where the answers of both orders lie further apart than a typical motion of the pairs that were trained on:
    then no motion at all would have been as good an answer."""
    return (answers.apart_m > model.typical_m) | (answers.apart_deg > model.typical_deg)


def _of_two(errors: tuple[float, float] | None) -> dict[str, float] | None:
    return None if errors is None else {"position_m": errors[0], "rotation_deg": errors[1]}


def _name_of(home: Workspace, scene: str | None) -> str:
    """The scene that is named, or the only one whose model is there."""
    if scene is not None:
        with suppress(NotFound):
            return home.load_scene(scene).name
        return Path(scene).name
    ending = home.model("", METHOD).name
    there = sorted(path.name.removesuffix(ending) for path in (home.root / "models").glob(f"*{ending}"))
    if not there:
        raise NotFound(f"no model *{ending} in {home.root / 'models'}: train one with '{TRAIN_COMMAND} SCENE'")
    if len(there) > 1:
        raise BadInput(f"several scenes have a model of {METHOD} ({', '.join(there)}): choose one with --scene NAME")
    return there[0]


def _check_scene(model: MeNetModel, path: Path, home: Workspace, scene: str | None) -> None:
    """Raises Mismatch where a model is not of the scene that is named, or of another state of it than the workspace has."""
    trained_on = model.identity["scene"]
    if scene is not None and _name_of(home, scene) != trained_on:
        raise Mismatch(
            f"{path} was trained on scene {trained_on!r}, not {scene!r}: train one with '{TRAIN_COMMAND} {scene}'"
        )
    try:
        found = home.load_scene(scene or trained_on)
    except NotFound:
        return
    if found.name == trained_on and found.mapping_fingerprint != model.identity["mapping_fingerprint"]:
        raise Mismatch(
            f"{path} was trained on other mapping photos or poses of scene {trained_on!r} than it has now: train again with "
            f"'{TRAIN_COMMAND} {trained_on}'"
        )


@dataclass(frozen=True)
class MeNetOptions:
    """A trained model has nothing to choose."""


def _build(options: MeNetOptions, model_path: Path | None, place: Place) -> PoseEstimator:
    raise relative_only(METHOD)


METHODS.register(METHOD)(
    Method(
        "relative pose of two photos, for 'irploc relate'; trained with 'irploc train menet'",
        MeNetOptions,
        True,
        _build,
        f"{TRAIN_COMMAND} {{scene}}",
        relative=True,
    )
)
