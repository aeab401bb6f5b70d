"""``Localizer``: photo in, pose out. Loads everything once; the command line and the service both use it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from irploc.encoders import Encoder
from irploc.errors import BadInput, IrplocError
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, Neighbours, PoseEstimates, PoseEstimator, Query
from irploc.estimators.build import Place, build_estimator, default_method, open_place
from irploc.estimators.floor_corrected import OnFloor, on_floor
from irploc.estimators.structure import Structure
from irploc.floormap import FloorMap, plane_poses
from irploc.geometry.cameras import Camera
from irploc.images import Photo
from irploc.localizer.current import check_map, scene_now
from irploc.localizer.decoding import DecodedPhoto, decode_ahead
from irploc.localizer.localization import Corrected, Localization
from irploc.localizer.opening import check_comparable, check_floor_map, check_scene, encoder_of, up_of_scene
from irploc.scene import Scene
from irploc.training.modelfile import method_of
from irploc.workspace import Workspace


@dataclass(frozen=True)
class Served:
    """One scene that is answered for.

    Attributes:
        place: its index and embeddings.
        method: its name.
        estimator: the method.
        floor_map: where one can walk in it; None where nobody said.
        up: its vertical, ``z`` or another axis; None where nobody knows.
        note: what the user should know about its map; empty where there is nothing.
    """

    place: Place
    method: str
    estimator: PoseEstimator
    floor_map: FloorMap | None = None
    up: str | None = None
    note: str = ""


_STOOD_BY = 2


class Answer(NamedTuple):
    """What a scene says to one of several photos: a row of its estimates, and of what its floor map makes of them."""

    served: Served
    row: int
    estimates: PoseEstimates
    neighbours: Neighbours
    floor: OnFloor | None = None

    @property
    def worth(self) -> int:
        """0 without a pose, 1 with an approximate one, 2 with one that the method stands by."""
        return {NOT_LOCALIZED: 0, APPROXIMATE: 1}.get(self.estimates.status[self.row], _STOOD_BY)


class Localizer:
    """The encoder, index and method of a scene, or of several that share an encoder, loaded and warm.

    Of several scenes, the one with the mapping photo most similar to the query answers, unless it refuses or has only an
    approximate pose, and another one has a better answer.

    >>> localizer = Localizer.open("kitchen", method="bdi")
    >>> localizer.localize(["photo.jpg"])[0].pose.centers_m
    """

    def __init__(self, scenes: Sequence[Served], encoder: Encoder, focal_px: float | None = None) -> None:
        self.scenes, self.encoder, self.focal_px = tuple(scenes), encoder, focal_px
        sides = [served.place.max_side for served in scenes]
        self.max_side = None if None in sides else max(side for side in sides if side)

    @property
    def method(self) -> str:
        """Of the first scene; the others may have other models and so another default."""
        return self.scenes[0].method

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about the maps, of photos that came in since they were made for example."""
        return tuple(served.note for served in self.scenes if served.note)

    @classmethod
    def open(
        cls,
        scene: str | None = None,
        method: str | None = None,
        model: Path | None = None,
        workspace: Path | None = None,
        encoder: str | None = None,
        device: str = "auto",
        embeddings: Path | None = None,
        index: Path | None = None,
        floor_map: Path | None = None,
        focal_px: float | None = None,
    ) -> Localizer:
        """Loads what is needed to localize in a scene.

        Args:
            scene: its name or folder; None takes all in the workspace.
            method: ``bdi:k=25`` …; None takes the one that ``model`` is of, ``fused`` where one is trained, else ``robust``.
            model: a model file other than the scene's own.
            workspace: None takes ``IRPLOC_WORKSPACE`` or the current folder.
            encoder: where the encoder is now, if not where it was (``onnx:PATH``); its weights must be the same.
            device: ``auto``, ``cpu``, ``cuda``.
            embeddings, index: files elsewhere than in the workspace.
            floor_map: where one can walk in the scene, see ``docs/floormap.md``.
            focal_px: focal length of the photos in pixels, for methods that use it; else they take what the file says, or
                the mapping photos' camera, or find it with the pose.

        Raises:
            NotFound, BadInput, Mismatch: when the scene, its embeddings, the model or the encoder do not fit, or no scene is
                named and they were embedded in different ways; when a scene's folder is there and other photos map the
                place now, or have other poses. Photos that only came in are a sentence in ``notes``.
        """
        if focal_px is not None and not 0 < focal_px < float("inf"):
            raise BadInput(f"the focal length is {focal_px:g} px, it must be positive")
        home = Workspace.locate(workspace)
        names = [scene] if scene else [embeddings.stem] if embeddings else home.scenes_to_search()
        if len(names) > 1 and (model or index or floor_map):
            raise BadInput(f"the workspace has several scenes ({', '.join(names)}): choose one with --scene NAME")
        places: list[Place] = []
        try:
            places.extend(open_place(home, name, embeddings, index) for name in names)
            check_comparable(places)
            if scene and embeddings:
                check_scene(home, scene, places[0])
            scenes = [scene_now(home, name, place.store) for name, place in zip(names, places, strict=True)]
            notes = [check_map(place.store, now) if now else "" for place, now in zip(places, scenes, strict=True)]
            floor = None if floor_map is None else check_floor_map(FloorMap.load(floor_map), places[0])
            loaded = encoder_of(places[0], encoder, device)
            known = zip(places, scenes, notes, strict=True)
            served = [_served(place, method, model, floor, now, note) for place, now, note in known]
            return cls(served, loaded, focal_px)
        finally:
            for place in places:
                place.store.close()

    def localize(self, images: Sequence[Photo | str]) -> list[Localization]:
        """One answer per photo, in order; paths, PIL images, or (H, W, 3) uint8 RGB arrays.

        Raises:
            BadInput, NotFound: for the first photo that cannot be used; ``localize_many`` goes on instead.
        """
        answers = []
        for answer in self.localize_many(images):
            if isinstance(answer, IrplocError):
                raise answer
            answers.append(answer)
        return answers

    def localize_many(
        self,
        images: Iterable[Photo | str],
        batch_size: int = 8,
        camera: Camera | None = None,
    ) -> Iterator[Localization | IrplocError]:
        """Answers in order, an error in the place of each photo that cannot be used; decodes ahead of the encoder.

        Args:
            images: paths, PIL images, or (H, W, 3) uint8 RGB arrays.
            batch_size: photos that are encoded at once.
            camera: intrinsics of all of them, where the caller knows; for methods that use them.

        Raises:
            BadInput: for one photo instead of a list of them.
        """
        if isinstance(images, str | Path | Image.Image):
            raise BadInput(
                f"localize takes a list of photos: give [{images if isinstance(images, str | Path) else 'image'}]"
            )
        batch: list[DecodedPhoto] = []
        for photo in decode_ahead(images, self.max_side, 2 * batch_size):
            if batch and (photo.shape != batch[0].shape or len(batch) == batch_size or photo.error):
                yield from self._answer(batch, camera)
                batch = []
            if photo.error is None and min(photo.shape[1:]) < self.encoder.minimum_side:
                yield self._too_small(photo)
            elif photo.error is not None:
                yield photo.error
            else:
                batch.append(photo)
        yield from self._answer(batch, camera)

    def _too_small(self, photo: DecodedPhoto) -> IrplocError:
        height, width = photo.shape[1:]
        least = self.encoder.minimum_side
        return BadInput(f"{photo.name} is {width}x{height}, {self.encoder.name} needs at least {least} pixels a side")

    def _answer(self, batch: list[DecodedPhoto], camera: Camera | None) -> Iterator[Localization]:
        if not batch:
            return
        started = time.perf_counter()
        embeddings = encode_together(self.encoder, batch)
        encoded = time.perf_counter()
        cameras = [camera] * len(batch)
        answers = self.estimate(
            embeddings, [photo.source for photo in batch], cameras, [photo.in_full_size for photo in batch]
        )
        finished = time.perf_counter()
        for photo, answer in zip(batch, answers, strict=True):
            yield localization_of(
                photo, answer, 1e3 * (encoded - started) / len(batch), 1e3 * (finished - encoded) / len(batch)
            )

    def estimate(
        self,
        embeddings: np.ndarray,
        images: Sequence[Photo] = (),
        cameras: Sequence[Camera | None] = (),
        decoded: Sequence[np.ndarray | None] = (),
        focal_px: float | None = None,
    ) -> list[Answer]:
        """The answer to each of (N, D) unit embeddings; the photos, their cameras and pixels are for methods that use them.

        ``focal_px`` is that of all of them; None takes the one the localizer was opened with.

        The scene with the most similar mapping photo gives it, unless another one has a better answer: any pose is better
        than none, and one that the method stands by than an approximate one.
        """
        answers: dict[int, Answer] = {}
        for asked in self._scenes_of(embeddings):
            open_rows = np.array([row not in answers or answers[row].worth < _STOOD_BY for row in range(len(embeddings))])
            for number, served in enumerate(self.scenes):
                rows = np.flatnonzero((asked == number) & open_rows).tolist()
                query = Query(
                    embeddings[rows],
                    [cameras[row] for row in rows] if cameras else (),
                    [images[row] for row in rows] if images else (),
                    [decoded[row] for row in rows] if decoded else (),
                    focal_px or self.focal_px,
                )
                for row, answer in zip(rows, _ask(served, query), strict=True):
                    if row not in answers or answer.worth > answers[row].worth:
                        answers[row] = answer
        return [answers[row] for row in range(len(embeddings))]

    def _scenes_of(self, embeddings: np.ndarray) -> np.ndarray:
        """(scenes, N) numbers of the scenes to ask, that with the mapping photo most similar to each embedding first."""
        if len(self.scenes) == 1:
            return np.zeros((1, len(embeddings)), dtype=np.int64)
        nearest = [served.place.index.search(embeddings, 1)[1][:, 0] for served in self.scenes]
        return np.argsort(-np.stack(nearest), axis=0, kind="stable")


def _ask(served: Served, query: Query) -> list[Answer]:
    if not len(query):
        return []
    estimates = served.estimator.estimate(query)
    neighbours = served.place.shown_neighbours(query.embeddings, estimates)
    floor = None
    if served.floor_map is not None:
        floor = on_floor(estimates, served.floor_map)
        estimates = floor.answers
    return [Answer(served, row, estimates, neighbours, floor) for row in range(len(query))]


def encode_together(encoder: Encoder, photos: Sequence[DecodedPhoto]) -> np.ndarray:
    """(N, D) unit vectors of photos whose pixels have one shape."""
    return encoder.encode(torch.from_numpy(np.stack([photo.pixels for photo in photos]))).numpy()


def localization_of(photo: DecodedPhoto, answer: Answer, encode_ms: float, estimate_ms: float) -> Localization:
    """What a scene says to a photo, with what is for people and programs to read: names, the floor, times."""
    served, row, estimates, neighbours = answer.served, answer.row, answer.estimates, answer.neighbours
    names, pose = served.place.index.frames.names, estimates.poses[[row]]
    confidence = float(estimates.confidence[row])
    listed = zip(neighbours.rows[row], neighbours.similarities[row], strict=True)
    corrected, outside_m = None, None
    if answer.floor is not None and not np.isnan(answer.floor.moved_m[row]):
        outside_m = float(answer.floor.moved_m[row])
        if pose.valid[0]:
            x, y, z = answer.floor.corrected.poses.centers_m[row].tolist()
            corrected = Corrected((x, y, z), outside_m)
    return Localization(
        image=photo.name,
        status=estimates.status[row],
        method=served.method,
        scene=served.place.name,
        pose=pose,
        confidence=None if np.isnan(confidence) else confidence,
        neighbours=tuple((names[index], float(similarity)) for index, similarity in listed),
        timing_ms={"decode": photo.decode_ms, "encode": encode_ms, "estimate": estimate_ms},
        units=served.place.store.header.units,
        expected_error=_known(estimates.position_m[row], estimates.rotation_deg[row]),
        spread=_known(estimates.spread_m[row], estimates.spread_deg[row]),
        corrected=corrected,
        outside_m=outside_m,
        plane_pose=None if served.up is None else plane_poses(pose, served.up)[0],
        camera=estimates.cameras[row],
        note=estimates.notes[row] or None,
    )


def _known(metres: float, degrees: float) -> tuple[float, float] | None:
    return None if np.isnan(metres) else (float(metres), float(degrees))


def served_by(
    place: Place,
    method: str,
    up: str | None = None,
    note: str = "",
    floor: FloorMap | None = None,
    model: Path | None = None,
) -> Served:
    """A scene answered for by a method; raises as ``build_estimator``."""
    estimator = build_estimator(method, place, model)
    of_method = estimator.note if isinstance(estimator, Structure) else ""
    return Served(place, method, estimator, floor, up, " ".join(filter(None, (note, of_method))))


def _served(
    place: Place, method: str | None, model: Path | None, floor: FloorMap | None, scene: Scene | None, note: str
) -> Served:
    chosen = method or (method_of(model) if model else default_method(place))
    up = floor.up if floor is not None else up_of_scene(scene)
    return served_by(place, chosen, up, note, floor, model)
