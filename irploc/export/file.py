"""From a ``Pipeline`` to a checked file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, Mismatch
from irploc.export.photos import Material
from irploc.export.pipeline import Graph, Pipeline, build_graph
from irploc.export.precision import HOW, PRECISIONS, RANGES, half_weights, quantized
from irploc.files import replacing
from irploc.geometry.poses import Poses, pose_errors
from irploc.onnxmodel import About, OnnxLocalizer, open_session, run_poses, with_metadata
from irploc.progress import Stages, silent_stages

TOLERANCE_M, TOLERANCE_DEG = 1e-4, 1e-3


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: of it.
        size_bytes: of it.
        about: what it says of itself.
    """

    path: Path
    size_bytes: int
    about: About


class Runner:
    """Poses by a graph in memory.

    Args:
        graph: any precision.
        where: what errors call it.
        threads: None takes all cores.
    """

    def __init__(self, graph: Graph, where: str, threads: int | None = None) -> None:
        self._session, self._graph, self._where = open_session(graph.content, where, threads), graph, where

    def poses(self, images_BCHW: np.ndarray) -> Poses:
        """B poses of (B, 3, H, W) uint8."""
        return run_poses(self._session, images_BCHW, self._graph.batch, self._where)


def export_pipeline(
    pipeline: Pipeline,
    out: Path,
    material: Material,
    precision: str = "fp32",
    units: str = "metres",
    stages: Stages = silent_stages,
) -> Exported:
    """Writes the file, whole or not at all, and opens it.

    Args:
        pipeline: trunk and heads.
        out: where it goes.
        material: photos to check and measure on.
        precision: one of ``PRECISIONS``.
        units: of the scene.
        stages: shows progress.

    Raises:
        BadInput: an unknown precision, a trunk that is no graph, no photos where there must be some, or no room.
        Mismatch: when the fp32 graph gives other poses than torch; nothing is written then.
    """
    if precision not in PRECISIONS:
        raise BadInput(f"unknown precision {precision!r}, choose one of {', '.join(PRECISIONS)}")
    graph = build_graph(pipeline)
    check = check_against_torch(pipeline, Runner(graph, "the exported graph"), material, stages)
    lowered, how = lower(graph, precision, material, stages)
    loss: dict[str, Any] = {}
    if precision != "fp32":
        loss = measure({"fp32": Runner(graph, "fp32"), precision: Runner(lowered, precision)}, material, stages)
    about = _about(pipeline, precision, how, units, check, loss)
    with replacing(out) as temporary:
        temporary.write_bytes(with_metadata(lowered.content, about.to_metadata()))
        OnnxLocalizer(temporary)
    return Exported(out, out.stat().st_size if out.is_file() else 0, about)


def check_against_torch(
    pipeline: Pipeline, runner: Runner, material: Material, stages: Stages = silent_stages
) -> dict[str, Any]:
    """The largest differences of a graph's poses from torch's, on what, and how many pictures.

    Raises:
        Mismatch: when they are larger than ``TOLERANCE_M`` and ``TOLERANCE_DEG``.
    """
    batches = material.to_check()
    differences = []
    with stages("checking", len(batches), "batches") as bar:
        for batch in batches:
            differences.append(pose_errors(runner.poses(batch), pipeline.torch_poses(batch)))
            bar.advance()
    position_m, rotation_deg = (float(np.concatenate(part).max()) for part in zip(*differences, strict=True))
    if not (position_m <= TOLERANCE_M and rotation_deg <= TOLERANCE_DEG):
        raise Mismatch(
            f"the graph of {pipeline.path} gives other poses than torch, by up to {position_m:.2g} m and "
            f"{rotation_deg:.2g} degrees on {material.words} (allowed are {TOLERANCE_M:g} m and {TOLERANCE_DEG:g} degrees): "
            "nothing was written"
        )
    sizes = sorted({f"{batch.shape[3]}x{batch.shape[2]}" for batch in batches})
    count = sum(map(len, batches))
    return {"position_m": position_m, "rotation_deg": rotation_deg, "images": count, "of": material.words, "sizes": sizes}


def lower(graph: Graph, precision: str, material: Material, stages: Stages = silent_stages) -> tuple[Graph, str]:
    """The graph in a precision, and in words how; of two ways to int8 the one whose poses on mapping photos that gave no
    ranges differ less from those of fp32."""
    if precision == "fp32":
        return graph, HOW["fp32"]
    if precision == "fp16":
        return half_weights(graph), HOW["fp16"]
    calibrating, held_out = material.to_calibrate()
    exact = _poses(Runner(graph, "fp32").poses, held_out)
    best: tuple[float, str, Graph] | None = None
    with stages("calibrating", len(RANGES), "ways") as bar:
        for ranges in RANGES:
            candidate = quantized(graph, ranges, calibrating)
            position_m, rotation_deg = pose_errors(_poses(Runner(candidate, "int8").poses, held_out), exact)
            # Metres and degrees in one number: 1 m and 30 degrees are about as bad in a room.
            distance = float(np.median(position_m) + np.median(rotation_deg) / 30)
            if best is None or distance < best[0]:
                best = distance, ranges, candidate
            bar.advance()
    assert best is not None
    return best[2], f"{HOW['int8']}; ranges of activations by {best[1]} over {len(calibrating)} mapping photos"


def measure(runners: dict[str, Runner], material: Material, stages: Stages = silent_stages) -> dict[str, Any]:
    """Median errors of several graphs on the same photos: ``{split, n, NAME: {position_m, rotation_deg}}``; empty where
    there are no photos."""
    chosen = material.measured()
    if chosen is None:
        return {}
    split, frames = chosen
    found: dict[str, list[Poses]] = {name: [] for name in runners}
    true = []
    with stages("measuring", len(frames), "photos") as bar:
        for photo, pose in material.decoded(frames):
            true.append(pose)
            for name, runner in runners.items():
                found[name].append(runner.poses(photo))
            bar.advance()
    if not true:
        return {}
    truth = Poses.concatenate(true)
    errors = {name: pose_errors(Poses.concatenate(poses), truth) for name, poses in found.items()}
    medians = {
        name: dict(zip(("position_m", "rotation_deg"), (float(np.median(part)) for part in parts), strict=True))
        for name, parts in errors.items()
    }
    return {"split": split, "n": len(true), **medians}


def _poses(ask: Callable[[np.ndarray], Poses], photos: Sequence[np.ndarray]) -> Poses:
    return Poses.concatenate([ask(photo) for photo in photos])


def _about(pipeline: Pipeline, precision: str, how: str, units: str, check: dict[str, Any], loss: dict[str, Any]) -> About:
    identity, trunk = pipeline.identity, pipeline.trunk
    return About(
        scene=str(identity["scene"]),
        units=units,
        ground_truth=str(identity["ground_truth"]),
        mapping_fingerprint=str(identity["mapping_fingerprint"]),
        method=pipeline.method,
        encoder=trunk.name,
        weights_sha256=trunk.weights_sha256,
        preprocessing=trunk.preprocessing,
        **asdict(pipeline.preparation),
        minimum_side=trunk.minimum_side,
        dimension=pipeline.dimension,
        model=pipeline.path.name,
        model_sha256=pipeline.sha256,
        seed=pipeline.seed,
        heads=len(pipeline.heads),
        precision=precision,
        how=how,
        check=check,
        loss=loss,
    )
