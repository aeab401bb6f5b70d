"""Algorithm 1: which photos of a scene see the same things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.cameras import Camera
from irploc.pairs import candidates
from irploc.pairs.angle import DEFAULT_ANGLE_DEG, angles_deg, thresholds_deg
from irploc.pairs.contents import ContentTests, Ledger
from irploc.pairs.intrinsics import corner_angles
from irploc.pairs.matrix import ACCEPTED, FEW_MATCHES, FEW_POINTS, LITTLE_DEPTH, REASONS, TURNED, PairMatrix
from irploc.pairs.options import PairOptions
from irploc.pointcloud import PointCloud
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames, Scene

_ADVICE = {
    TURNED: "raise --angle",
    FEW_POINTS: "lower --min-points",
    LITTLE_DEPTH: "lower --min-depth",
    FEW_MATCHES: "lower --min-matches",
}


def select_pairs(
    scene: Scene,
    options: PairOptions | None = None,
    store: EmbeddingStore | None = None,
    cloud: PointCloud | None = None,
    quiet: bool = True,
) -> PairMatrix:
    """The correlated pairs of a scene.

    Args:
        scene: its photos need be there for the ORB test only.
        store: its embeddings, where candidates are to come from retrieval too.
        cloud: points in its frame, where there are any; see ``irploc.pointcloud.check_frame``.
        quiet: no progress bars.

    Raises:
        BadInput: for fewer than two photos, no pair found, missing intrinsics, or photos and depth maps that cannot be used.
        NotFound: when ORB is needed and OpenCV is not installed. Mismatch: when the embeddings lack photos.

    Source: Algorithm 1 of the paper. Where the data of several tests exist the first of points, depth and ORB decides; the
    paper's listing would let the last.
    """
    options = options or PairOptions()
    if options.window is None:
        options = replace(options, window=candidates.default_window(scene.frames))
    frames = scene.frames.of_split("train") if options.split == "train" else scene.frames
    if len(frames) < 2:
        kind = "mapping" if options.split == "train" else "any"
        raise BadInput(
            f"pairs need at least two photos, {scene.name} has {len(frames)} ({kind}): check the split of the scene"
        )
    pairs, sources = _candidates(frames, options, store, scene.name)
    ledger = Ledger.of_candidates(len(pairs))
    limits = _limits_deg(scene, frames, pairs, options)
    angles = angles_deg(frames.poses, pairs)
    ledger.measured["angle_deg"][:] = angles
    ledger.reasons[angles > limits] = TURNED
    if options.test == "none":
        ledger.reasons[ledger.open_rows] = ACCEPTED
    else:
        ContentTests(scene, frames, pairs, options, quiet).run(ledger, cloud)
    settings = {**asdict(options), "min_matches": options.smallest_match_share, "cloud": cloud.source if cloud else None}
    settings |= {"neighbours": _neighbours(frames, options, store), "largest_angle_deg": float(np.max(limits))}
    fingerprint = scene.mapping_fingerprint
    found = PairMatrix(scene.name, fingerprint, frames.names, pairs, sources, ledger.reasons, ledger.measured, settings)
    _check_found(found)
    return found


def window_and_angle(
    frames: Frames,
    window: int = candidates.PAPER_WINDOW,
    max_angle_deg: float | None = None,
    cameras: Mapping[str, Camera] | None = None,
    scene: str = "scene",
    ground_truth: str = "unknown",
) -> PairMatrix:
    """The pairs that sequences, indices and orientations alone let through, for places without photos or intrinsics.

    Args:
        frames: all of them are paired.
        window: as in ``PairOptions``.
        max_angle_deg: None is half the angle at which the frustums touch where ``cameras`` describes all of the frames',
            else ``DEFAULT_ANGLE_DEG``.

    Raises:
        BadInput: for fewer than two frames, or no pair found.
    """
    known = dict(cameras or {})
    if max_angle_deg is None and not all(name in known for name in frames.cameras):
        max_angle_deg = DEFAULT_ANGLE_DEG
    if not all(name in known or not name for name in frames.cameras):
        frames = replace(frames, cameras=("",) * len(frames))
    place = Scene(scene, Path(), frames, known, ground_truth)
    return select_pairs(place, PairOptions(window, 0, max_angle_deg, test="none", split="all"))


def _candidates(
    frames: Frames, options: PairOptions, store: EmbeddingStore | None, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) pairs to test and (P,) where they come from."""
    assert options.window is not None
    window = candidates.window_pairs(frames.sequences, frames.indices, options.window)
    retrieval = np.empty((0, 2), dtype=np.int64)
    if count := _neighbours(frames, options, store):
        if store is None:
            raise BadInput(f"{where} has no embeddings to look for neighbours in: run 'irploc embed', or use --neighbours 0")
        asked = candidates.unordered(frames) if options.neighbours is None else np.ones(len(frames), dtype=bool)
        retrieval = candidates.retrieval_pairs(store, frames, asked, count)
    pairs, sources = candidates.merged(window, retrieval)
    if not len(pairs):
        raise BadInput(
            f"no pairs of {where}: no two of its {len(frames)} photos are within {options.window} of each other in a "
            "sequence: give a larger --window, or embed the scene and give --neighbours K"
        )
    return pairs, sources


def _neighbours(frames: Frames, options: PairOptions, store: EmbeddingStore | None) -> int:
    """How many similar photos are looked for."""
    if options.neighbours is not None:
        return options.neighbours
    return candidates.NEIGHBOURS if store is not None and candidates.unordered(frames).any() else 0


def _limits_deg(scene: Scene, frames: Frames, pairs: np.ndarray, options: PairOptions) -> np.ndarray:
    """(P,) the largest angle of each pair."""
    if options.max_angle_deg is not None:
        return np.full(len(pairs), options.max_angle_deg)
    return thresholds_deg(corner_angles(frames, scene.cameras, options.fov_deg), pairs)


def _check_found(found: PairMatrix) -> None:
    """Raises BadInput when no pair is left: which tests took how many, and what would let more through."""
    if len(found.accepted):
        return
    counts = found.counts()
    taken = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    contents = [_ADVICE[number] for number in _ADVICE if number != TURNED and REASONS[number] in counts]
    advice = " or ".join(contents) or (_ADVICE[TURNED] if REASONS[TURNED] in counts else "choose another --test")
    raise BadInput(f"no pairs of {found.scene}: of {len(found.pairs)} candidates {taken}: {advice}")
