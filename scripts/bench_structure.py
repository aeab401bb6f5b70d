"""Method `structure` on a scene's test photos beside a plain pycolmap script, in the same run.

    python scripts/bench_structure.py kitchen --step 5

The scene is one of the workspace (``IRPLOC_WORKSPACE``) with embeddings, and with models if the prior is to be ``fused``.
The plain script does what a careful engineer writes in an afternoon: SIFT of every second mapping photo, pairs by retrieval
from the same embeddings, pycolmap's matching with verification, triangulation with the known poses; a query is matched with
its ten nearest photos one by one (ratio 0.85, both ways), then pycolmap's RANSAC and refinement. Ours is
`irploc triangulate` into a folder of its own, then the method with its prior, and without (retrieval alone). Queries are
asked one at a time, so that seconds are those that a user waits; encoding, which all share, comes on top. "candidates" are
the points that the first round compares a photo with. ``--step N`` asks every N-th test photo; the last line has ratios to
the plain script.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from irploc.estimators.base import OK, Query
from irploc.estimators.build import Place, open_place
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses, pose_errors
from irploc.images import decode_image
from irploc.pycolmap_safe import import_pycolmap
from irploc.scene import Frames
from irploc.structure.matching import mutual_matches
from irploc.workspace import Workspace

PLAIN_PAIRS, PLAIN_NEAREST, PLAIN_RATIO = 15, 10, 0.85
OURS, ALONE, PLAIN = "structure", "structure:prior=false", "plain script"


def main() -> None:
    """Builds both maps, asks both, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--step", type=int, default=1, help="ask every N-th test photo")
    parser.add_argument("--keep-every", type=int, default=2, help="the plain script maps every N-th mapping photo")
    parser.add_argument("--methods", default=f"{OURS},{ALONE}", help="of ours, comma-separated")
    parser.add_argument("--no-plain", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    home = Workspace.locate()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        rows = {}
        if not options.no_plain:
            rows[PLAIN] = asked_plain(home, options.scene, work, options.keep_every, options.step)
        built = build_ours(home, options.scene, work)
        for method in options.methods.split(","):
            rows[method] = {**built, **asked(copy_of(home, work), options.scene, method, options.step)}
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def build_ours(home: Workspace, scene: str, work: Path) -> dict[str, float]:
    """`irploc triangulate` as a user types it, into a workspace whose other files are the user's."""
    copy = copy_of(home, work)
    out = copy.model(scene, "structure")
    out.unlink(missing_ok=True)
    command = [str(Path(sys.executable).with_name("irploc")), "--workspace", str(copy.root), "triangulate", scene]
    started = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - started
    from irploc.structure.mapfile import load_map

    return {"build_s": seconds, "kB": out.stat().st_size / 1e3 / len(load_map(out).names)}


def copy_of(home: Workspace, work: Path) -> Workspace:
    """A workspace of links to the user's files, with models of its own."""
    root = work / "workspace"
    if not root.is_dir():
        (root / "models").mkdir(parents=True)
        for name in ("scenes", "embeddings", "indexes"):
            (root / name).symlink_to((home.root / name).resolve())
        for model in (home.root / "models").glob("*.pt"):
            (root / "models" / model.name).symlink_to(model.resolve())
    return Workspace(root)


def asked(home: Workspace, scene: str, method: str, step: int) -> dict[str, float]:
    """Answers of one of our methods, one query at a time."""
    place = open_place(home, scene)
    with place.store:
        query, truth = queries(place, step)
        estimator = place.estimator(method)
        for row in range(0, len(query), 10):
            one(estimator.estimate, query, row)  # what is loaded on first use, the photos from the disk too
        poses, statuses, seconds = [], [], []
        for row in range(len(query)):
            started = time.perf_counter()
            answer = one(estimator.estimate, query, row)
            seconds.append(time.perf_counter() - started)
            poses.append(answer.poses)
            statuses.append(answer.status[0])
        started = time.perf_counter()
        estimator.estimate(query)
        together = (time.perf_counter() - started) / len(query)
        solutions = [one.found.solution for one in estimator.answered(query)[1]]
    accepted = np.array([status == OK for status in statuses])
    found = scores(Poses.concatenate(poses), truth, accepted)
    work = {
        "candidates": float(np.mean([0 if solution is None else solution.compared for solution in solutions])),
        "matches": float(np.mean([0 if solution is None else solution.first_matched for solution in solutions])),
    }
    return {**found, "query_s": float(np.median(seconds)), "together_s": together, **work}


def one(estimate: Callable[[Query], Any], query: Query, row: int) -> Any:
    """The answer to one of several queries."""
    return estimate(Query(query.embeddings[[row]], query.cameras[row : row + 1], query.images[row : row + 1]))


def queries(place: Place, step: int) -> tuple[Query, Poses]:
    """Every ``step``-th test photo and its true pose."""
    frames = place.store.frames
    rows = np.flatnonzero(frames.splits == "test")[::step]
    chosen = frames[rows]
    cameras = [place.store.cameras.get(name) for name in chosen.cameras]
    mask = np.zeros(len(frames), dtype=bool)
    mask[rows] = True
    return Query(place.store.vectors(mask), cameras, chosen.images), chosen.poses


def scores(poses: Poses, truth: Poses, accepted: np.ndarray) -> dict[str, float]:
    """Of answers; those that were not accepted count as lost."""
    metres, degrees = pose_errors(poses, truth)
    metres, degrees = np.where(accepted, metres, np.inf), np.where(accepted, degrees, 180.0)
    return {
        "asked": len(truth),
        "accepted": int(accepted.sum()),
        "median_mm": 1e3 * float(np.median(metres)),
        "median_deg": float(np.median(degrees)),
        "within": float(np.mean((metres <= 0.05) & (degrees <= 5.0))),
        "largest_mm": 1e3 * float(np.max(metres[accepted], initial=0.0)),
    }


def asked_plain(home: Workspace, scene: str, work: Path, keep_every: int, step: int) -> dict[str, float]:
    """The plain script, map and queries."""
    place = open_place(home, scene)
    with place.store:
        started = time.monotonic()
        plain = PlainMap(place, work / "plain", keep_every)
        build_s = time.monotonic() - started
        size = plain.bytes_on_disk / 1e3 / len(plain.frames)
        query, truth = queries(place, step)
        poses, seconds, extraction, candidates, matches = [], [], [], [], []
        for row in range(len(query)):
            pose, spent, features_s, compared, matched = plain.localize(
                query.embeddings[row], query.images[row], query.cameras[row]
            )
            poses.append(pose)
            seconds.append(spent)
            extraction.append(features_s)
            candidates.append(compared)
            matches.append(matched)
    found = scores(Poses.concatenate(poses), truth, Poses.concatenate(poses).valid)
    times = {"query_s": float(np.median(seconds)), "features_s": float(np.median(extraction))}
    work = {"candidates": float(np.mean(candidates)), "matches": float(np.mean(matches))}
    return {"build_s": build_s, "kB": size, **found, **times, **work}


class PlainMap:
    """SIFT, pairs by retrieval, pycolmap's matching and triangulation; photos are matched one by one."""

    def __init__(self, place: Place, work: Path, keep_every: int) -> None:
        self._colmap = import_pycolmap()
        rows = np.arange(0, len(place.index.frames), keep_every)
        self.frames: Frames = place.index.frames[rows]
        self.vectors = place.index.vectors[rows]
        self.camera = place.store.cameras[self.frames.cameras[0]]
        work.mkdir(parents=True)
        for number, image in enumerate(self.frames.images):
            shutil.copyfile(image, work / f"{number:06d}{image.suffix}")
        self.names = [f"{number:06d}{image.suffix}" for number, image in enumerate(self.frames.images)]
        database = work / "database.db"
        self._extract_and_match(work, database)
        self._triangulate(work, database)
        self.bytes_on_disk = database.stat().st_size
        self._sift = self._colmap.Sift(device=self._colmap.Device.cpu)

    def _extract_and_match(self, work: Path, database: Path) -> None:
        colmap = self._colmap
        options = colmap.ImageReaderOptions()
        options.camera_model = self.camera.model
        options.camera_params = ",".join(str(value) for value in self.camera.params)
        colmap.extract_features(
            database, work, image_names=self.names, camera_mode=colmap.CameraMode.SINGLE, reader_options=options
        )
        similar = np.argsort(-(self.vectors @ self.vectors.T), axis=1)[:, 1 : PLAIN_PAIRS + 1]
        pairs = {(min(a, b), max(a, b)) for a, others in enumerate(similar.tolist()) for b in others}
        listing = work / "pairs.txt"
        listing.write_text("".join(f"{self.names[a]} {self.names[b]}\n" for a, b in sorted(pairs)))
        pairing = colmap.ImportedPairingOptions()
        pairing.match_list_path = listing
        colmap.match_image_pairs(database, pairing_options=pairing)

    def _triangulate(self, work: Path, database: Path) -> None:
        colmap = self._colmap
        known = colmap.Reconstruction()
        quats, translations = self.frames.poses.to_cam_from_world()
        row_of = {name: row for row, name in enumerate(self.names)}
        with colmap.Database.open(database) as opened:
            for camera in opened.read_all_cameras():
                known.add_camera_with_trivial_rig(camera)
            images = [(image.image_id, image.name, image.camera_id) for image in opened.read_all_images()]
            self._descriptors: dict[int, np.ndarray] = {}
            for image_id, name, camera_id in images:
                row = row_of[name]
                image = colmap.Image(name=name, camera_id=camera_id, image_id=image_id)
                keypoints = np.asarray(opened.read_keypoints(image_id))[:, :2]
                image.points2D = colmap.Point2DList([colmap.Point2D(place) for place in keypoints])
                pose = colmap.Rigid3d(colmap.Rotation3d(np.roll(quats[row], -1)), translations[row])
                known.add_image_with_trivial_frame(image, pose)
                self._descriptors[row] = unit(np.array(opened.read_descriptors(image_id).data))
        (work / "model").mkdir()
        model = colmap.triangulate_points(known, database, work, work / "model")
        self._points: dict[int, np.ndarray] = {}
        self._seen: dict[int, np.ndarray] = {}
        for image in model.images.values():
            row = row_of[image.name]
            seen = [number for number, point in enumerate(image.points2D) if point.has_point3D()]
            self._seen[row] = self._descriptors[row][seen]
            at = [model.points3D[image.points2D[number].point3D_id].xyz for number in seen]
            self._points[row] = np.array(at).reshape(-1, 3)

    def localize(self, embedding: np.ndarray, photo: Path, camera: Camera | None) -> tuple[Poses, float, float, int, int]:
        """The pose, seconds for it, seconds for the features, descriptors compared with, and matches."""
        colmap, camera = self._colmap, camera or self.camera
        grey = np.ascontiguousarray(np.asarray(decode_image(Path(photo)).convert("L")))
        started = time.perf_counter()
        places, descriptors = self._sift.extract(grey)
        ours = unit(np.asarray(descriptors))
        extracted = time.perf_counter()
        pixels, points, compared = [], [], 0
        for row in np.argsort(-(self.vectors @ embedding))[:PLAIN_NEAREST].tolist():
            matches = mutual_matches(ours, self._seen[row], PLAIN_RATIO)
            compared += len(self._seen[row])
            pixels.append(np.asarray(places)[matches[:, 0], :2])
            points.append(self._points[row][matches[:, 1]])
        lens = colmap.Camera(model=camera.model, width=camera.width, height=camera.height, params=list(camera.params))
        found = colmap.estimate_and_refine_absolute_pose(
            np.concatenate(pixels).astype(np.float64), np.concatenate(points), lens
        )
        spent = time.perf_counter() - extracted
        return pose_of(found), spent, extracted - started, compared, sum(len(part) for part in points)


def unit(descriptors: np.ndarray) -> np.ndarray:
    """(N, 128) float32 rows of unit length."""
    vectors = descriptors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def pose_of(found: dict[str, Any] | None) -> Poses:
    """Of what pycolmap gives."""
    if found is None:
        return Poses.missing(1)
    motion = found["cam_from_world"]
    return Poses.from_cam_from_world(np.roll(motion.rotation.quat, 1)[None], np.array(motion.translation)[None])


def show(rows: dict[str, dict[str, float]]) -> None:
    """The table, and ratios to the plain script."""
    columns = ("", "map, s", "kB a mapping photo", "accepted", "median", "within 5 cm 5°", "largest error", "a query, s")
    print(f"| {' | '.join([*columns, 'candidates', 'matches'])} |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        beside = f" + {row['features_s']:.2f} features" if "features_s" in row else ""
        cells = [name, f"{row['build_s']:.0f}", f"{row['kB']:.0f}", f"{row['accepted']}/{row['asked']}"]
        cells += [f"{row['median_mm']:.1f} mm {row['median_deg']:.3f}°", f"{100 * row['within']:.1f} %"]
        cells += [
            f"{row['largest_mm']:.0f} mm",
            f"{row['query_s']:.3f}{beside}",
            f"{row['candidates']:.0f}",
            f"{row['matches']:.0f}",
        ]
        print(f"| {' | '.join(cells)} |")
    if PLAIN in rows and OURS in rows:
        plain, ours = rows[PLAIN], rows[OURS]
        whole = plain["query_s"] + plain["features_s"]
        print(f"map: {ours['build_s'] / plain['build_s']:.2f} of the plain script's time", end="; ")
        print(f"query, features included: {ours['query_s'] / whole:.2f} of it", end="; ")
        print(f"median error: {ours['median_mm'] / plain['median_mm']:.2f} of it")


if __name__ == "__main__":
    os.environ.setdefault("GLOG_minloglevel", "2")
    main()
