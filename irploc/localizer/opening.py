"""Whether what is opened together belongs together: scene, embeddings, encoder, floor map."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

from irploc.encoders import Encoder, EncoderOptions, create_encoder
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.estimators.build import Place
from irploc.floormap import FloorMap, check_fit, check_metric
from irploc.retrieval.store import NOT_RECORDED
from irploc.scene import Scene
from irploc.workspace import Workspace

_UPRIGHT, _KEEP_UPRIGHT = ("upright", "plan"), ("distance",)  # alignments that make z the vertical, or leave it so


def check_scene(home: Workspace, scene: str, place: Place) -> None:
    """Raises Mismatch when embeddings that were named are not of the scene that was named."""
    found, given = place.store.header.scene, {Path(scene).name}
    with suppress(NotFound):
        given.add(home.load_scene(scene).name)
    if found not in given:
        raise Mismatch(f"{place.store.path} was made from the scene {found!r}, not {scene!r}: leave the scene out")


def check_comparable(places: list[Place]) -> None:
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


def check_floor_map(floor_map: FloorMap, place: Place) -> FloorMap:
    """The floor map, if it is one of this place.

    Raises:
        BadInput: when the place has no metric scale. Mismatch: when most of its mapping photos are not on walkable ground.
    """
    units, where = place.store.header.units, f"scene {place.name}"
    if units != NOT_RECORDED:
        check_metric(units, where)
    check_fit(floor_map, place.index.frames.poses, where)
    return floor_map


def up_of_scene(scene: Scene | None) -> str | None:
    """``z`` where the scene was aligned so, else None."""
    turns = [] if scene is None else [step.method for step in scene.alignment if step.method not in _KEEP_UPRIGHT]
    return "z" if turns and turns[-1] in _UPRIGHT else None
