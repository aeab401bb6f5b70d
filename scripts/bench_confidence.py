"""Is the confidence of every method calibrated, does it sort answers, and are photos of other places refused?

    python scripts/bench_confidence.py embeddings/kitchen.h5 --elsewhere embeddings/fox.h5 --elsewhere embeddings/room.h5

Index and models are the workspace's (``IRPLOC_WORKSPACE``); the queries are the photos of ``--split``. For every method:
the share of answers within 0.25 m and 5 degrees, what was announced, the expected calibration error, and the area under the
curve of the median error against the share of photos kept, as a share of what keeping at random would give (keeping in the
order of the true errors beside it). Then the share of photos refused, of the split and of other places (same encoder), with
that of approximate answers, and how many of the poses that a method stands by are wrong by more than 0.25 m.

``--unseen MIN`` adds photos of the place itself whose view the map does not hold. Photos with a depth map (``*.depth.png``
beside them, millimetres) are grouped by blocks of the walk; for each group the map is cut down to the photos that see at
most a tenth of the depth pixels of any photo in it, and the group is asked for where MIN such photos are left. The methods
are closed forms, which learn anew on every such map; of ``structure`` the point map is cut down to the same photos (the mean
descriptors of its points stay as they are) and its calibration kept, and ``robust`` is where it starts.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from irploc.errors import BadInput, IrplocError, Mismatch
from irploc.estimators.base import APPROXIMATE, NOT_LOCALIZED, OK, PoseEstimates, PoseEstimator, Query
from irploc.estimators.build import Place, available_methods, build_estimator, open_place
from irploc.estimators.structure import Structure
from irploc.evaluation.confidence import reliability
from irploc.geometry.cameras import Camera, cam_from_world, world_from_cam
from irploc.geometry.poses import Poses, pose_errors
from irploc.retrieval.index import PlaceIndex
from irploc.retrieval.store import EmbeddingStore
from irploc.structure.candidates import KeyPhotos
from irploc.structure.observations import Observations
from irploc.structure.photo import PhotoSolver
from irploc.structure.pointmap import PointMap
from irploc.structure.solve import Solver
from irploc.workspace import Workspace

_DEPTH_STEP = 16  # every so many pixels
_NEAR_M, _FAR_M = 0.1, 30.0
_SEEN = 0.1
_LOW = 0.2
_WRONG_M = 0.25


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
    """The share without a pose, and of approximate ones."""
    lost, loose = (100 * np.mean([status == which for status in estimates.status]) for which in (NOT_LOCALIZED, APPROXIMATE))
    return f"{lost:.1f} %" + (f" ({loose:.1f} % approximate)" if loose else "")


def wrong(estimates: PoseEstimates, true: Poses) -> str:
    """How many of the poses that the method stands by are far off."""
    stood_by = np.array([status == OK for status in estimates.status])
    metres = pose_errors(estimates.poses, true)[0][stood_by]
    return f"{(metres > _WRONG_M).sum()} of {len(metres)}"


def query_of(store: EmbeddingStore, rows: np.ndarray) -> Query:
    """Some photos of a store by their rows, as ``irploc evaluate`` asks for them."""
    frames = store.frames[rows]
    cameras = [store.cameras.get(name) for name in frames.cameras]
    return Query(store.vectors(rows), cameras, frames.images)


def on_less(whole: Structure, smaller: Place) -> Structure:
    """``structure`` with a map of the photos alone that a smaller index holds."""
    row_of = {name: row for row, name in enumerate(smaller.index.frames.names)}
    kept = np.array([name in row_of for name in whole.point_map.names])
    point_map: PointMap = Observations.of_map(whole.point_map).to_map(kept)
    rows = np.array([row_of[name] for name in point_map.names], dtype=np.int64)
    solver = PhotoSolver(Solver(point_map), whole.photo_solver.extractor)
    keys = KeyPhotos(rows, smaller.index.vectors)
    return Structure(solver, keys, build_estimator("robust", smaller), whole.calibration, trust=smaller.trust)


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


def unseen(
    place: Place, store: EmbeddingStore, least: int, block: int, estimators: dict[str, PoseEstimator]
) -> Iterator[str]:
    """Rows of the last table."""
    frames, vectors = store.frames, store.vectors()
    rows, shares = overlaps(store)
    everything = PlaceIndex(frames, vectors, None, "flat")
    groups: dict[tuple[str, int], list[int]] = {}
    for number, row in enumerate(rows):
        groups.setdefault((frames.sequences[row], int(frames.indices[row]) // block), []).append(number)
    answers: dict[str, list[PoseEstimates]] = {method: [] for method in estimators}
    truth: list[Poses] = []
    for members in groups.values():
        taken = (shares[members] > _SEEN).any(axis=0)
        if (~taken).sum() < least:
            continue
        smaller = Place(place.name, store, everything.without(taken), place.workspace)
        query = query_of(store, rows[members])
        truth.append(frames.poses[rows[members]])
        for method, whole in estimators.items():
            less = on_less(whole, smaller) if isinstance(whole, Structure) else build_estimator(method, smaller)
            answers[method].append(less.estimate(query))
    if not truth:
        raise BadInput(f"no photo has {least} mapping photos that do not see what it sees: lower --unseen")
    for method, parts in answers.items():
        status = np.array([status for part in parts for status in part.status])
        lost, loose, sure = (status == which for which in (NOT_LOCALIZED, APPROXIMATE, OK))
        low = np.concatenate([part.confidence for part in parts]) < _LOW
        metres = np.concatenate([pose_errors(part.poses, true)[0] for part, true in zip(parts, truth, strict=True)])
        shares = f"{lost.mean():.2f} | {loose.mean():.2f} | {(lost | low).mean():.2f}"
        yield f"| `{method}` | {len(status)} | {shares} | {(metres[sure] > _WRONG_M).sum()} of {sure.sum()} |"


def main() -> None:
    """Prints tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("embeddings", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--methods", help="comma-separated; all that there are by default")
    parser.add_argument("--every", type=int, default=1, help="of so many photos of the split and of other places, one")
    parser.add_argument("--elsewhere", action="append", type=Path, default=[])
    parser.add_argument("--unseen", type=int, metavar="MIN")
    parser.add_argument("--block", type=int, default=20)
    options = parser.parse_args()
    home = Workspace.locate(Path(os.environ["IRPLOC_WORKSPACE"]) if "IRPLOC_WORKSPACE" in os.environ else None)
    place = open_place(home, options.embeddings.stem, options.embeddings)
    with place.store as store:
        asked = np.flatnonzero(store.frames.splits == options.split)[:: options.every]
        query, true = query_of(store, asked), store.frames.poses[asked]
        methods = options.methods.split(",") if options.methods else available_methods(place)
        estimators = {method: build_estimator(method, place) for method in methods}
        print(f"{place.name}: {len(query)} photos ({options.split}), {len(place.index.frames)} mapped\n")
        print("| method | good | announced | calibration error | area, position | area, rotation | error within 2x |")
        print("|---|---|---|---|---|---|---|")
        answers = {}
        for method, estimator in estimators.items():
            answers[method] = estimator.estimate(query)
            print(line(method, answers[method], true), flush=True)
        print(f"\n| refused | {' | '.join(['this place', 'stood by and wrong', *(p.stem for p in options.elsewhere)])} |")
        print("|---" * (3 + len(options.elsewhere)) + "|")
        others = [_photos_of(path, store, options.every) for path in options.elsewhere]
        for method, estimator in estimators.items():
            cells = [refused(answers[method]), wrong(answers[method], true)]
            cells += [refused(estimator.estimate(asked_for)) for asked_for in others]
            print(f"| `{method}` | {' | '.join(cells)} |", flush=True)
        if options.unseen:
            trained = ("irpnet", "mlp", "fused")
            closed = {method: one for method, one in estimators.items() if method.partition(":")[0] not in trained}
            print("\n| unseen | photos | refused | approximate | refused or below 0.2 | stood by and wrong |")
            print("|---" * 6 + "|")
            for row in unseen(place, store, options.unseen, options.block, closed):
                print(row, flush=True)


def _photos_of(path: Path, ours: EmbeddingStore, every: int) -> Query:
    with EmbeddingStore.open(path) as store:
        if store.header.weights_sha256 != ours.header.weights_sha256:
            raise Mismatch(f"{path} was made with {store.header.encoder}, {ours.path} with {ours.header.encoder}")
        return query_of(store, np.arange(0, len(store.frames), every))


if __name__ == "__main__":
    try:
        main()
    except IrplocError as error:
        raise SystemExit(f"Error: {error}") from None
