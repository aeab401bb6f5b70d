"""From what a user names (a scene, ``csi:k=20:alpha=8``) to something that estimates poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irploc.config import options_from_mapping, parse_spec
from irploc.errors import BadInput, NotFound
from irploc.estimators.base import METHODS, Method, Neighbours, PoseEstimates, PoseEstimator, Query, relative_only
from irploc.estimators.calibrated import Calibrated, Trust, calibrate
from irploc.estimators.calibration import LEAST_PHOTOS, Calibration
from irploc.estimators.robust import LEARNED, Robust, damaged
from irploc.geometry.poses import Poses
from irploc.progress import Progress
from irploc.retrieval.index import PlaceIndex, build_index, load_index
from irploc.retrieval.store import NOT_RECORDED, EmbeddingStore
from irploc.workspace import Workspace

_SHOWN_NEIGHBOURS = 5  # for methods that look at none themselves


@dataclass(frozen=True)
class Place:
    """What methods may use: the embeddings of a scene and the index over its mapping photos.

    Attributes:
        name: under which its index and models are kept; the scene's, unless it was embedded several times.
        store: open for reading; its header and frames stay readable after ``close``.
        index: over the mapping photos.
        workspace: where models are looked for.
    """

    name: str
    store: EmbeddingStore
    index: PlaceIndex
    workspace: Workspace

    @property
    def trust(self) -> Trust:
        """What methods may announce of what they learned here."""
        return Trust(holds=not self.store.fitted, metric=self.store.header.units in ("metres", NOT_RECORDED))

    @property
    def max_side(self) -> int | None:
        """Pixels to which the longer side of photos is reduced before they are encoded: as the mapping photos were, or as
        large as the largest of these was; None where nobody knows how large they were."""
        sides = [max(camera.width, camera.height) for camera in self.store.cameras.values()]
        return self.store.header.max_side or max(sides, default=None)

    def model_path(self, method: str) -> Path:
        """Where the scene's model for a method lies by default."""
        return self.workspace.model(self.name, method)

    def trained(self, methods: Iterable[str]) -> list[str]:
        """Those of the methods whose model is there."""
        return [method for method in methods if self.model_path(method).is_file()]

    def estimator(self, spec: str) -> PoseEstimator:
        """``build_estimator`` here."""
        return build_estimator(spec, self)

    def shown_neighbours(self, embeddings: np.ndarray, estimates: PoseEstimates) -> Neighbours:
        """The mapping photos to show beside the estimates of (N, D) embeddings: those the method looked at, else the most
        similar ones."""
        if estimates.neighbours.rows.shape[1]:
            return estimates.neighbours
        return Neighbours(*self.index.search(embeddings, min(_SHOWN_NEIGHBOURS, len(self.index.frames))))


def open_place(workspace: Workspace, scene: str, embeddings: Path | None = None, index: Path | None = None) -> Place:
    """Opens the embeddings and the index of a scene; a flat one is built in memory where none is saved, and for embeddings
    outside the workspace unless an index is named.

    Args:
        workspace: where both are looked for.
        scene: its name or folder, or the name of one of its embeddings files.
        embeddings, index: other places than the workspace's.

    Raises:
        NotFound, BadInput, Mismatch, Busy: as the store and the index.
    """
    store = EmbeddingStore.open(embeddings or workspace.embeddings_of(scene))
    try:
        name = workspace.place_of_embeddings(store.path, store.header.scene)
        saved = index or workspace.index(name)
        at_home = workspace.holds_embeddings(store.path)
        place_index = load_index(saved, store) if index or (at_home and saved.is_file()) else build_index(store)
    except BaseException:
        store.close()
        raise
    return Place(name, store, place_index, workspace)


def build_estimator(spec: str, place: Place, model: Path | None = None) -> PoseEstimator:
    """The method a user names, ready to estimate.

    Args:
        spec: ``name`` or ``name:option=value:…``.
        place: the scene.
        model: a model file other than the scene's own; only for methods that have one.

    Raises:
        NotFound: unknown method, or no trained model. BadInput: unknown or impossible option.
    """
    name, values = parse_spec(spec)
    method = METHODS.get(name)
    options: object = options_from_mapping(method.options, values, f"method {name!r}")
    if method.relative:
        raise relative_only(name)
    if not method.needs_model:
        if model is not None:
            raise BadInput(f"method {name!r} has no model: leave {model} out, or choose the method it was trained for")
        return _calibrated(name, method, options, place)
    path = model or place.model_path(name)
    if not path.is_file():
        command = method.train_command.format(embeddings=place.store.path, scene=place.name)
        raise NotFound(f"no {method.made} {path}: {method.making} it with '{command}'")
    return method.build(options, path, place)


def methods_without_model() -> dict[str, Method]:
    """Those that need nothing trained, by name."""
    return {name: method for name, method in METHODS.items() if not (method.needs_model or method.members)}


def learned_of(place: Place, progress: Progress) -> dict[str, dict[str, Any]]:
    """What methods without a model learn in a place, as ``PlaceIndex.learned`` keeps it: how far each is to be trusted, and
    the error models of ``robust``.

    Args:
        progress: takes a step per method.
    """
    found: dict[str, dict[str, Any]] = {}
    if errors := Robust(place.index).to_plain():
        found[LEARNED] = errors
        place = dataclasses.replace(place, index=dataclasses.replace(place.index, learned={LEARNED: errors}))
    for name, method in methods_without_model().items():
        if len(place.index.frames) >= LEAST_PHOTOS:
            found[_key(name, method.options())] = _learned(method, method.options(), place).to_plain()
        progress.advance()
    return found


def _calibrated(name: str, method: Method, options: Any, place: Place) -> PoseEstimator:
    """A method without a model, with its calibration: the one saved with the index, or one that is learned now."""
    estimator = method.build(options, None, place)
    if method.members or len(place.index.frames) < LEAST_PHOTOS:
        return estimator
    saved = place.index.learned.get(_key(name, options))
    if saved is None:
        return Calibrated(estimator, _learned(method, options, place), place.index, place.trust)
    try:
        return Calibrated(estimator, Calibration.from_plain(saved), place.index, place.trust)
    except (KeyError, TypeError, ValueError):
        raise damaged() from None


def _learned(method: Method, options: Any, place: Place) -> Calibration:
    kept = [LEARNED] if LEARNED in place.index.learned else []

    def answer(smaller: PlaceIndex, number: int, rows: np.ndarray) -> Poses:
        fitting = options
        if getattr(options, "k", 0) > len(smaller.frames):
            fitting = dataclasses.replace(options, k=len(smaller.frames))
        # what robust knows of errors is of the whole map: learning it anew without a fold takes longer and changes little
        smaller = dataclasses.replace(smaller, learned={key: place.index.learned[key] for key in kept})
        estimator = method.build(fitting, None, dataclasses.replace(place, index=smaller))
        return estimator.estimate(Query(place.index.vectors[rows])).poses

    return calibrate(place.index, answer)


def _key(name: str, options: Any) -> str:
    """``bdi:k=25``, whether the options were typed or not."""
    return name + "".join(f":{key}={value}" for key, value in dataclasses.asdict(options).items())


def available_methods(place: Place) -> list[str]:
    """Every method that can answer in this place: closed forms, then those whose model is there.

    A default k larger than the number of mapping photos is lowered to it, and the name says so (``bdi:k=12``).
    """
    closed = [fitting_spec(name, place) for name in methods_without_model()]
    models = [name for name, method in METHODS.items() if method.needs_model and not method.relative]
    trained = [name for name in models if place.model_path(name).is_file()]
    combined = [name for name, method in METHODS.items() if place.trained(method.members)]
    return sorted(closed, key=_closed_order) + trained + combined


def default_method(place: Place) -> str:
    """``fused`` where a model is there that it uses, else ``robust``; models of the workspace need not fit foreign files."""
    at_home = place.workspace.holds_embeddings(place.store.path)
    return "fused" if at_home and place.trained(METHODS.get("fused").members) else "robust"


def check_specs(specs: list[str]) -> None:
    """Raises for unknown or repeated methods before anything slow is done."""
    for spec in specs:
        name, values = parse_spec(spec)
        options_from_mapping(METHODS.get(name).options, values, f"method {name!r}")
        if METHODS.get(name).relative:
            raise relative_only(name)
    repeated = {spec for spec in specs if specs.count(spec) > 1}
    if repeated:
        raise BadInput(f"method {min(repeated)!r} is named twice")


def fitting_spec(name: str, place: Place) -> str:
    """The method's name, with k lowered to the number of mapping photos where its default is larger."""
    count = len(place.index.frames)
    for field in dataclasses.fields(METHODS.get(name).options):
        if field.name == "k" and isinstance(field.default, int) and field.default > count:
            return f"{name}:k={count}"
    return name


def _closed_order(spec: str) -> int:
    order = ("nearest", "ewb", "csi", "bdi", "robust")
    name = spec.partition(":")[0]
    return order.index(name) if name in order else len(order)
