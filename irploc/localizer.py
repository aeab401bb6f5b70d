"""``Localizer``: photo in, pose out. Loads everything once; the command line and the service both use it."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.errors import BadInput, IrplocError, Mismatch, NotFound
from irploc.estimators.base import OK, Neighbours, PoseEstimates, PoseEstimator, Query
from irploc.estimators.build import Place, build_estimator, default_method, open_place
from irploc.geometry.poses import Poses
from irploc.images import Photo, decode_image, resize_to_max_side, to_array, upright_rgb
from irploc.training.modelfile import method_of
from irploc.workspace import Workspace


@dataclass(frozen=True)
class Localization:
    """The answer for one photo.

    Attributes:
        image: its path as given, or a name.
        status: ``ok``, ``not_localized`` or ``outside_map``.
        method, scene: what answered, and where.
        pose: one row; NaN when not localized.
        confidence: in [0, 1], or None where the method is not calibrated.
        neighbours: (name, cosine similarity) of mapping photos, best first.
        timing_ms: milliseconds spent in ``decode``, ``encode`` and ``estimate``.
        units: of the centre; ``metres`` unless the scene has no metric scale.
        expected_error: metres and degrees, as likely exceeded as not; None where nobody knows.
        spread: metres and degrees by which the heads of an ensemble differ; None without one.
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
            "neighbours": [{"name": name, "similarity": round(value, 6)} for name, value in self.neighbours],
            "timing_ms": {name: round(value, 3) for name, value in self.timing_ms.items()},
        }


@dataclass(frozen=True)
class Served:
    """One scene that is answered for: its index and embeddings, the name of the method, and the method."""

    place: Place
    method: str
    estimator: PoseEstimator


class Answer(NamedTuple):
    """What a scene says to one of several photos: a row of its estimates."""

    served: Served
    row: int
    estimates: PoseEstimates
    neighbours: Neighbours

    @property
    def ok(self) -> bool:
        """Whether there is a pose."""
        return self.estimates.status[self.row] == OK


class Localizer:
    """The encoder, index and method of a scene, or of several that share an encoder, loaded and warm.

    Of several scenes, the one with the mapping photo most similar to the query answers, unless it refuses and another one
    does not.

    >>> localizer = Localizer.open("kitchen", method="bdi")
    >>> localizer.localize(["photo.jpg"])[0].pose.centers_m
    """

    def __init__(self, scenes: Sequence[Served], encoder: Encoder) -> None:
        self.scenes, self.encoder = tuple(scenes), encoder
        self.max_side = scenes[0].place.store.header.max_side or None

    @property
    def method(self) -> str:
        """Of the first scene; the others may have other models and so another default."""
        return self.scenes[0].method

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

        Raises:
            NotFound, BadInput, Mismatch: when the scene, its embeddings, the model or the encoder do not fit, or no scene is
                named and they were embedded in different ways.
        """
        home = Workspace.locate(workspace)
        names = [scene] if scene else [embeddings.stem] if embeddings else home.scenes_to_search()
        if len(names) > 1 and (model or index):
            raise BadInput(f"the workspace has several scenes ({', '.join(names)}): choose one with --scene NAME")
        places: list[Place] = []
        try:
            places.extend(open_place(home, name, embeddings, index) for name in names)
            _check_comparable(places)
            if scene and embeddings:
                _check_scene(home, scene, places[0])
            loaded = encoder_of(places[0], encoder, device)
            return cls([_served(place, method, model) for place in places], loaded)
        finally:
            for place in places:
                place.store.close()

    def localize(self, images: Sequence[Path | str | Image.Image | np.ndarray]) -> list[Localization]:
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
        self, images: Iterable[Path | str | Image.Image | np.ndarray], batch_size: int = 8
    ) -> Iterator[Localization | IrplocError]:
        """Answers in order, an error in the place of each photo that cannot be used; decodes ahead of the encoder.

        Raises:
            BadInput: for one photo instead of a list of them.
        """
        if isinstance(images, str | Path | Image.Image):
            raise BadInput(
                f"localize takes a list of photos: give [{images if isinstance(images, str | Path) else 'image'}]"
            )
        batch: list[_Photo] = []
        for photo in _decode_ahead(images, self.max_side, 2 * batch_size):
            if batch and (photo.shape != batch[0].shape or len(batch) == batch_size or photo.error):
                yield from self._answer(batch)
                batch = []
            if photo.error is None and min(photo.shape[1:]) < self.encoder.minimum_side:
                yield self._too_small(photo)
            elif photo.error is not None:
                yield photo.error
            else:
                batch.append(photo)
        yield from self._answer(batch)

    def _too_small(self, photo: _Photo) -> IrplocError:
        height, width = photo.shape[1:]
        least = self.encoder.minimum_side
        return BadInput(f"{photo.name} is {width}x{height}, {self.encoder.name} needs at least {least} pixels a side")

    def _answer(self, batch: list[_Photo]) -> Iterator[Localization]:
        if not batch:
            return
        started = time.perf_counter()
        pixels = torch.from_numpy(np.stack([photo.pixels for photo in batch]))
        embeddings = self.encoder.encode(pixels).numpy()
        encoded = time.perf_counter()
        answers = self.estimate(embeddings, [photo.source for photo in batch])
        finished = time.perf_counter()
        for photo, (served, row, estimates, neighbours) in zip(batch, answers, strict=True):
            names = served.place.index.frames.names
            confidence = float(estimates.confidence[row])
            listed = zip(neighbours.rows[row], neighbours.similarities[row], strict=True)
            yield Localization(
                image=photo.name,
                status=estimates.status[row],
                method=served.method,
                scene=served.place.name,
                pose=estimates.poses[[row]],
                confidence=None if np.isnan(confidence) else confidence,
                neighbours=tuple((names[index], float(similarity)) for index, similarity in listed),
                timing_ms={
                    "decode": photo.decode_ms,
                    "encode": 1e3 * (encoded - started) / len(batch),
                    "estimate": 1e3 * (finished - encoded) / len(batch),
                },
                units=served.place.store.header.units,
                expected_error=_known(estimates.position_m[row], estimates.rotation_deg[row]),
                spread=_known(estimates.spread_m[row], estimates.spread_deg[row]),
            )

    def estimate(self, embeddings: np.ndarray, images: Sequence[Photo] = ()) -> list[Answer]:
        """The answer to each of (N, D) unit embeddings, of N photos for methods that look at pixels.

        The scene with the most similar mapping photo gives it, unless it refuses the photo and another one does not.
        """
        answers: dict[int, Answer] = {}
        for asked in self._scenes_of(embeddings):
            for number, served in enumerate(self.scenes):
                rows = [row for row in np.flatnonzero(asked == number).tolist() if row not in answers or not answers[row].ok]
                photos = [images[row] for row in rows] if images else ()
                for row, answer in zip(rows, _ask(served, embeddings[rows], photos), strict=True):
                    if answer.ok or row not in answers:
                        answers[row] = answer
        return [answers[row] for row in range(len(embeddings))]

    def _scenes_of(self, embeddings: np.ndarray) -> np.ndarray:
        """(scenes, N) numbers of the scenes to ask, that with the mapping photo most similar to each embedding first."""
        if len(self.scenes) == 1:
            return np.zeros((1, len(embeddings)), dtype=np.int64)
        nearest = [served.place.index.search(embeddings, 1)[1][:, 0] for served in self.scenes]
        return np.argsort(-np.stack(nearest), axis=0, kind="stable")


def _ask(served: Served, embeddings: np.ndarray, images: Sequence[Photo]) -> list[Answer]:
    if not len(embeddings):
        return []
    estimates = served.estimator.estimate(Query(embeddings, images=images))
    neighbours = served.place.shown_neighbours(embeddings, estimates)
    return [Answer(served, row, estimates, neighbours) for row in range(len(embeddings))]


def _known(metres: float, degrees: float) -> tuple[float, float] | None:
    return None if np.isnan(metres) else (float(metres), float(degrees))


def _named(error: tuple[float, float] | None) -> dict[str, float] | None:
    return None if error is None else {"position_m": round(error[0], 6), "rotation_deg": round(error[1], 6)}


def _served(place: Place, method: str | None, model: Path | None) -> Served:
    chosen = method or (method_of(model) if model else default_method(place))
    return Served(place, chosen, build_estimator(chosen, place, model))


def _check_scene(home: Workspace, scene: str, place: Place) -> None:
    """Raises Mismatch when embeddings that were named are not of the scene that was named."""
    found, given = place.store.header.scene, {Path(scene).name}
    with suppress(NotFound):
        given.add(home.load_scene(scene).name)
    if found not in given:
        raise Mismatch(f"{place.store.path} was made from the scene {found!r}, not {scene!r}: leave the scene out")


def _check_comparable(places: list[Place]) -> None:
    """Raises BadInput when embeddings of several scenes do not mean the same."""
    first = places[0].store.header
    alike = ("weights_sha256", "preprocessing", "max_side", "dimension")
    for place in places[1:]:
        if any(getattr(place.store.header, name) != getattr(first, name) for name in alike):
            names = ", ".join(place.name for place in places)
            raise BadInput(
                f"the workspace has several scenes ({names}), embedded in different ways: choose one with --scene NAME"
            )


def encoder_of(place: Place, moved_to: str | None = None, device: str = "auto") -> Encoder:
    """The encoder that made a scene's embeddings, with the same weights and preprocessing.

    Raises:
        NotFound: when it or its weights are not there. Mismatch: when its weights or its preprocessing are other ones.
    """
    header = place.store.header
    precision = header.precision
    if precision == "fp16" and not torch.cuda.is_available():
        precision = "fp32"  # embedded on a GPU, asked on a CPU: the more exact arithmetic gives the same vectors
    if moved_to and moved_to.partition(":")[0] != header.encoder.partition(":")[0]:
        raise Mismatch(
            f"{place.store.path} was made with {header.encoder}, not {moved_to}: --encoder only tells where the same "
            "encoder is now; to use another one, embed the scene with it"
        )
    encoder = create_encoder(moved_to or header.encoder, EncoderOptions(precision=precision, device=device))
    if encoder.needs_fitting:
        encoder.load_state(place.store.encoder_state())
    if encoder.weights_sha256 != header.weights_sha256:
        raise Mismatch(
            f"{place.store.path} was made with weights {header.weights_sha256[:12]}… of {header.encoder}, those here are "
            f"{encoder.weights_sha256[:12]}…: embed the scene again, or give the right ones with --encoder"
        )
    if encoder.preprocessing != header.preprocessing:
        raise Mismatch(
            f"{place.store.path} was made with the preprocessing {header.preprocessing!r}, {encoder.name} now has "
            f"{encoder.preprocessing!r}: embed the scene again"
        )
    return encoder


@dataclass
class _Photo:
    name: str
    pixels: np.ndarray
    decode_ms: float
    source: Photo  # as it was given, in full size
    error: IrplocError | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.pixels.shape


def _decode_ahead(
    images: Iterable[Path | str | Image.Image | np.ndarray], max_side: int | None, ahead: int
) -> Iterator[_Photo]:
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        waiting: deque[Future[_Photo]] = deque()
        try:
            for number, image in enumerate(images):
                waiting.append(pool.submit(_decode, image, f"image {number}", max_side))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _decode(image: Path | str | Image.Image | np.ndarray, fallback_name: str, max_side: int | None) -> _Photo:
    started = time.perf_counter()
    name = str(image) if isinstance(image, str | Path) else fallback_name
    source = Path(image) if isinstance(image, str) else image
    try:
        if isinstance(image, str | Path):
            photo = decode_image(Path(image), max_side)
        else:
            photo = resize_to_max_side(_as_pil(image, name), max_side)
    except IrplocError as error:
        return _Photo(name, np.zeros((3, 0, 0), dtype=np.uint8), 0.0, source, error)
    return _Photo(name, to_array(photo), 1e3 * (time.perf_counter() - started), source)


def _as_pil(image: Image.Image | np.ndarray, name: str) -> Image.Image:
    if isinstance(image, Image.Image):
        try:
            return upright_rgb(image)
        except (OSError, ValueError) as error:
            raise BadInput(f"{name} cannot be decoded: {error}") from None
    if not isinstance(image, np.ndarray):
        raise BadInput(f"{name} is a {type(image).__name__}, expected a path, a PIL image or an array")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise BadInput(f"{name} is a {image.dtype} array of shape {image.shape}, expected (height, width, 3) uint8 RGB")
    return Image.fromarray(image)
