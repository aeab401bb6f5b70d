"""Methods measured on the photos of a scene that were embedded but not mapped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata

from irploc.errors import BadInput, Mismatch
from irploc.estimators.base import PoseEstimates, Query
from irploc.estimators.build import Place, build_estimator, check_specs
from irploc.evaluation.results import Evaluation, MethodResult, evaluate_methods
from irploc.localizer.current import moved, outdated
from irploc.provenance import irploc_version
from irploc.retrieval.store import NOT_RECORDED, StoreHeader
from irploc.scene import Frames, Scene, learned_note

IN_THE_MAP = "The queries are mapping photos: the figures say nothing about new photos."


def evaluate_place(place: Place, methods: Sequence[str], split: str = "test") -> Evaluation:
    """Runs methods on the embedded photos of a split.

    Args:
        place: its store must be open.
        methods: as users type them, ``bdi:k=25``.

    Raises:
        BadInput: when the split is empty or a method is named twice; NotFound, Mismatch: for methods and their models.
    """
    check_specs(list(methods))
    frames, header = place.store.frames, place.store.header
    rows = frames.splits == split
    if not rows.any():
        present = ", ".join(sorted(set(frames.splits)))
        raise BadInput(f"scene {place.name} has no {split} images (it has {present}): {other_split(header.scene)}")
    queries = frames[rows]
    cameras = [place.store.cameras.get(name) for name in queries.cameras]
    query = Query(place.store.vectors(rows), cameras, queries.images)
    results = evaluate_methods({method: build_estimator(method, place) for method in methods}, query, queries.poses)
    return Evaluation(
        scene=place.name,
        ground_truth=header.ground_truth,
        split=split,
        queries=queries,
        results=_with_neighbours(results, query, place),
        mapping=place.index.frames,
        encoder=header.encoder,
        provenance=_provenance(header),
        notes=(*units_note(header.units), *((IN_THE_MAP,) if split == "train" else ()), *_learned_notes(place, queries)),
        units="metres" if header.units == NOT_RECORDED else header.units,
    )


def _learned_notes(place: Place, queries: Frames) -> list[str]:
    """What a reader must know of poses that are no ground truth."""
    estimated = int(queries.learned.sum())
    words = f"{estimated} of {len(queries)} queries have poses that irploc learn estimated: they are no ground truth."
    mapping = learned_note(place.index.frames)
    return [*([mapping] if mapping else []), *([words] if estimated else [])]


def _with_neighbours(results: dict[str, MethodResult], query: Query, place: Place) -> dict[str, MethodResult]:
    """Gives methods that look at no mapping photos themselves the most similar ones, for reports."""

    def with_shown(estimates: PoseEstimates) -> PoseEstimates:
        return replace(estimates, neighbours=place.shown_neighbours(query.embeddings, estimates))

    return {method: replace(result, estimates=with_shown(result.estimates)) for method, result in results.items()}


def side_by_side(measured: Mapping[str, Evaluation]) -> Evaluation:
    """Evaluations of one scene with several encoders as one; methods are then named ``bdi @NAME``.

    Args:
        measured: name -> evaluation; one alone is given back as it is.

    Raises:
        Mismatch: when they are not about the same photos.
    """
    first, *others = measured.values()
    if not others:
        return first
    for name, other in measured.items():
        if other.queries.names != first.queries.names or (other.mapping and other.mapping.names) != (
            first.mapping and first.mapping.names
        ):
            raise Mismatch(
                f"{name} and {next(iter(measured))} hold different photos: embed the same scene with both encoders"
            )
    results = {f"{method} @{name}": result for name, part in measured.items() for method, result in part.results.items()}
    provenance = {f"{fact} @{name}": value for name, part in measured.items() for fact, value in part.provenance.items()}
    encoders = ", ".join(f"{part.encoder} (@{name})" for name, part in measured.items())
    return replace(first, results=results, provenance=provenance, encoder=encoders)


def other_split(scene: str) -> str:
    """What to do about a split that has no photos."""
    return f"choose another --split, or hold photos back with 'irploc scene split {scene} --split blocks' and embed again"


def units_note(units: str) -> tuple[str, ...]:
    """A sentence where a scene's coordinates are not metres, else nothing."""
    if units == "metres":
        return ()
    if units == NOT_RECORDED:
        return ("The embeddings do not record the scene's units: embed the scene again to add them.",)
    return (f"The scene has no metric scale (its units: {units}): read m as those, and no threshold as metres.",)


def check_up_to_date(place: Place, scene: Scene) -> None:
    """Raises Mismatch when the scene's photos, splits, poses or ground truth are no longer those that were embedded."""
    embedded, now = place.store.frames, scene.frames
    what = None
    if place.store.header.ground_truth != scene.ground_truth:
        what = f"its ground truth was {place.store.header.ground_truth}, now it is {scene.ground_truth}"
    elif changes := set(embedded.names) ^ (set(now.names) - set(place.store.left_out)):
        what = f"{len(changes)} photos were added or removed"
    elif (changed := _changed_labels(embedded, now)) > 0:
        what = f"{changed} photos have another pose or split"
    if what:
        raise outdated(place.store, scene, what)


def _changed_labels(embedded: Frames, now: Frames) -> int:
    """How many photos have another pose or split; both hold the same names."""
    row_of = {name: row for row, name in enumerate(now.names)}
    now = now[[row_of[name] for name in embedded.names]]
    return int((moved(embedded, now) | (embedded.splits != now.splits)).sum())


def _provenance(header: StoreHeader) -> dict[str, str]:
    side = f"longer side {header.max_side} px" if header.max_side else "native size"
    packages = " ".join(f"{name} {metadata.version(name)}" for name in ("numpy", "torch"))
    return {
        "encoder weights sha256": header.weights_sha256,
        "images": f"{side}; {header.preprocessing}",
        "embeddings": f"{header.dimension}-D, computed in {header.precision}, stored as {header.dtype}",
        "augmentations": f"{header.augmentations} jittered versions per mapping image, seed {header.seed}",
        "software": f"irploc {irploc_version()}, Python {sys.version.split()[0]}, {packages}",
    }
