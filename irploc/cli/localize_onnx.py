"""`irploc localize --model FILE.onnx`: what its options mean there. Nothing here may import torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from irploc.errors import BadInput, Mismatch
from irploc.onnxmodel import OnnxLocalizer

SUFFIX = ".onnx"
_CPU = ("auto", "cpu")


def is_exported(model: Path) -> bool:
    """Whether a model file is one of 'irploc export', by its name."""
    return model.suffix.lower() == SUFFIX


def refuse_exported(model: Path | None) -> None:
    """Raises BadInput for an exported model, which answers for photos alone."""
    if model is not None and is_exported(model):
        raise BadInput(f"videos do not go with {model}: an exported model takes photos; give its frames, or the .pt model")


def open_exported(
    model: Path, scene: str | None, method: str | None, device: str, others: Mapping[str, object]
) -> OnnxLocalizer:
    """The exported model.

    Args:
        model: the file.
        scene, method: must be its own, if given.
        device: the CPU.
        others: options by the word that is typed, of which none may be given.

    Raises:
        BadInput, Mismatch: for options that mean nothing here or contradict the file; or as ``OnnxLocalizer``.
    """
    given = [name for name, value in others.items() if value is not None]
    if "--floor-map" in given:
        raise BadInput(
            f"--floor-map does not go with {model}: floor maps need pandas, which a device with exported models need not "
            "have; localize with the .pt model instead"
        )
    if given:
        raise BadInput(f"{given[0]} does not go with {model}: an exported model has everything in its file")
    if device not in _CPU:
        raise BadInput(f"--device {device} does not go with {model}: exported models run on the CPU")
    localizer = OnnxLocalizer(model)
    about = localizer.about
    for what, wanted, found in (("scene", scene, about.scene), ("method", method, about.method)):
        if wanted is not None and wanted != found:
            raise Mismatch(f"{model} is of the {what} {found!r}, not {wanted!r}: leave --{what} out")
    return localizer
