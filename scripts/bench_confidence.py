"""Is the confidence of every method calibrated, does it sort answers, and are photos of other places refused?

    python scripts/bench_confidence.py embeddings/kitchen.h5 --elsewhere embeddings/fox.h5 --elsewhere embeddings/room.h5

Index and models are the workspace's (``IRPLOC_WORKSPACE``); the queries are the photos of ``--split``. For every method:
the share of answers within 0.25 m and 5 degrees, what was announced, the expected calibration error, and the area under the
curve of the median error against the share of photos kept, as a share of what keeping at random would give (keeping in the
order of the true errors beside it). Then the share of photos refused, of the split and of other places (same encoder).

``--unseen MIN`` adds photos of the place itself whose view the map does not hold. Photos with a depth map (``*.depth.png``
beside them, millimetres) are grouped by blocks of the walk; for each group the map is cut down to the photos that see at
most a tenth of the depth pixels of any photo in it, and the group is asked for where MIN such photos are left. The methods
are closed forms, which learn anew on every such map.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.errors import BadInput, IrplocError, Mismatch
from irploc.estimators.base import NOT_LOCALIZED, PoseEstimates, Query
from irploc.estimators.build import Place, available_methods, build_estimator, open_place
from irploc.evaluation.confidence import reliability
from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses
from irploc.retrieval.index import PlaceIndex
from irploc.retrieval.store import EmbeddingStore
from irploc.workspace import Workspace

_DEPTH_STEP = 16  # every so many pixels
_NEAR_M, _FAR_M = 0.1, 30.0
_SEEN = 0.1
_LOW = 0.2


def line(method: str, estimates: PoseEstimates, true: Poses) -> str:
    """A row of the first table."""
    found = reliability(estimates, true)
    if found is None:
        return f"| `{method}` | not calibrated |"
    area, best = found.area_m / found.blind_area_m, found.best_area_m / found.blind_area_m
    turned, best_turned = found.area_deg / found.blind_area_deg, found.best_area_deg / found.blind_area_deg
    cells = [f"`{method}`", f"{found.good:.2f}", f"{found.mean_confidence:.2f}", f"{found.calibration_error:.3f}"]
    cells += [f"{area:.2f} ({best:.2f})", f"{turned:.2f} ({best_turned:.2f})", f"{found.expected_within_2:.2f}"]
    return f"| {' | '.join(cells)} |"


def refused(estimates: PoseEstimates) -> str:
    """The share without a pose."""
    return f"{100 * np.mean([status == NOT_LOCALIZED for status in estimates.status]):.1f} %"


def overlaps(store: EmbeddingStore) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the photos that have a depth map, and (rows, all photos) which share of its pixels each photo has in view."""
    frames, rows, shares = store.frames, [], []
    cameras = [store.cameras[name] for name in frames.cameras]
    for row, image in enumerate(frames.images):
        path = image.with_name(image.name.split(".")[0] + ".depth.png")
        if path.is_file():
            points = world_from_cam(_points(path, cameras[row]), frames.poses[[row]])
            rows.append(row)
            shares.append([_share_in_view(points, frames.poses[[other]], cameras[other]) for other in range(len(frames))])
    if not rows:
        raise BadInput(f"--unseen needs depth maps (*.depth.png) beside the photos of {store.path}")
    return np.array(rows), np.array(shares)


def _points(path: Path, camera: Camera) -> np.ndarray:
    """(N, 3) points in the camera's axes; the depth map is taken to be of the camera's size and focal length."""
    depth_m = np.asarray(Image.open(path)).astype(np.float64) / 1000.0
    v, u = (part.ravel() for part in np.mgrid[0 : depth_m.shape[0] : _DEPTH_STEP, 0 : depth_m.shape[1] : _DEPTH_STEP])
    z = depth_m[v, u]
    valid = (z > 0) & (z < _FAR_M)
    return camera.unproject(np.stack([u, v], axis=1)[valid] + 0.5, z[valid])


def _share_in_view(points: np.ndarray, pose: Poses, camera: Camera) -> float:
    local = cam_from_world(points, pose)
    front = local[:, 2] > _NEAR_M
    pixels = camera.project(local[front])
    return float(((pixels >= 0) & (pixels < [camera.width, camera.height])).all(axis=1).sum() / max(len(points), 1))


def unseen(place: Place, store: EmbeddingStore, least: int, block: int, methods: list[str]) -> Iterator[str]:
    """Rows of the last table."""
    frames, vectors = store.frames, store.vectors()
    rows, shares = overlaps(store)
    everything = PlaceIndex(frames, vectors, None, "flat")
    groups: dict[tuple[str, int], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((frames.sequences[row], int(frames.indices[row]) // block), []).append(number)
    answers: dict[str, list[PoseEstimates]] = {method: [] for method in methods}
    count = 0
    for members in groups.values():
        taken = (shares[members] > _SEEN).any(axis=0)
        if (~taken).sum() < least:
            continue
        smaller = Place(place.name, store, everything.without(taken), place.workspace)
        query = Query(vectors[rows[members]])
        count += len(members)
        for method in methods:
            answers[method].append(build_estimator(method, smaller).estimate(query))
    if not count:
        raise BadInput(f"no photo has {least} mapping photos that do not see what it sees: lower --unseen")
    for method, parts in answers.items():
        lost = np.array([status == NOT_LOCALIZED for part in parts for status in part.status])
        low = np.concatenate([part.confidence for part in parts]) < _LOW
        yield f"| `{method}` | {count} | {lost.mean():.2f} | {(lost | low).mean():.2f} |"


def main() -> None:
    """Prints tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--elsewhere", action="append", type=Path, default=[])
    parser.add_argument("--unseen", type=int, metavar="MIN")
    parser.add_argument("--block", type=int, default=20)
    options = parser.parse_args()
    home = Workspace.locate(Path(os.environ["IRPLOC_WORKSPACE"]) if "IRPLOC_WORKSPACE" in os.environ else None)
    place = open_place(home, options.embeddings.stem, options.embeddings)
    with place.store as store:
        asked = store.frames.splits == options.split
        query, true = Query(store.vectors(asked)), store.frames.poses[asked]
        estimators = {method: build_estimator(method, place) for method in available_methods(place)}
        print(f"{place.name}: {len(query)} photos ({options.split}), {len(place.index.frames)} mapped\n")
        print("| method | good | announced | calibration error | area, position | area, rotation | error within 2x |")
        print("|---|---|---|---|---|---|---|")
        for method, estimator in estimators.items():
            print(line(method, estimator.estimate(query), true), flush=True)
        print(f"\n| refused | {' | '.join(['this place', *(path.stem for path in options.elsewhere)])} |")
        print("|---" * (2 + len(options.elsewhere)) + "|")
        others = [_vectors_of(path, store) for path in options.elsewhere]
        for method, estimator in estimators.items():
            cells = [refused(estimator.estimate(asked_for)) for asked_for in (query, *others)]
            print(f"| `{method}` | {' | '.join(cells)} |", flush=True)
        if options.unseen:
            closed = [method for method in estimators if method.partition(":")[0] not in ("irpnet", "mlp", "fused")]
            print("\n| unseen | photos | refused | refused or below 0.2 |\n|---|---|---|---|")
            for row in unseen(place, store, options.unseen, options.block, closed):
                print(row, flush=True)


def _vectors_of(path: Path, ours: EmbeddingStore) -> Query:
    with EmbeddingStore.open(path) as store:
        if store.header.weights_sha256 != ours.header.weights_sha256:
            raise Mismatch(f"{path} was made with {store.header.encoder}, {ours.path} with {ours.header.encoder}")
        return Query(store.vectors())


if __name__ == "__main__":
    try:
        main()
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
