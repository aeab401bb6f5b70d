"""The ORB test: what share of the detected features of two photos match, where their poses allow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.errors import BadInput, IrplocError
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import decode_image, resize_to_max_side
from irploc.opencv_safe import one_thread_a_call, opencv
from irploc.pairs.points import mean_share
from irploc.pairs.threads import in_threads
from irploc.progress import Progress
from irploc.projection import unproject_points

FEATURES = 500
MAX_SIDE = 640
MAX_BITS = 48  # of 256 that may differ


@dataclass(frozen=True)
class Features:
    """ORB features of one photo.

    Attributes:
        descriptors: (F, 32) uint8.
        rays: (F, 3) in camera coordinates, z = 1; zeros where the camera is not known.
        pixel: size of one pixel of the reduced photo at z = 1.
    """

    descriptors: np.ndarray
    rays: np.ndarray
    pixel: float


def detect(path: Path, camera: Camera | None) -> Features:
    """At most ``FEATURES`` features of a photo whose longer side is reduced to ``MAX_SIDE`` pixels.

    Raises:
        NotFound, BadInput: as ``irploc.images.decode_image``; when the photo is of another size than its camera.
    """
    photo = decode_image(path)
    if camera is not None and photo.size != (camera.width, camera.height):
        raise BadInput(f"{path} is {photo.width}x{photo.height}, but its camera is for {camera.width}x{camera.height}")
    grey = resize_to_max_side(photo.convert("L"), MAX_SIDE)
    points, descriptors = opencv().ORB_create(nfeatures=FEATURES).detectAndCompute(np.asarray(grey), None)
    if descriptors is None:
        return Features(np.empty((0, 32), dtype=np.uint8), np.empty((0, 3)), 1.0)
    if camera is None:
        return Features(descriptors, np.zeros((len(points), 3)), 1.0)
    scale = np.divide(photo.size, grey.size)
    pixels = (np.array([point.pt for point in points], dtype=np.float64) + 0.5) * scale
    rays = unproject_points(camera, pixels, np.ones(len(pixels)))
    return Features(descriptors, rays, float(np.mean(scale / camera.focal_px)))


def match(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(K, 2) rows of descriptors (F, 32) and (G, 32) that are each other's nearest and differ in at most ``MAX_BITS``."""
    if not len(a) or not len(b):
        return np.empty((0, 2), dtype=np.int64)
    cv2 = opencv()
    found = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(a, b)
    good = [(one.queryIdx, one.trainIdx) for one in found if one.distance <= MAX_BITS]
    return np.array(good, dtype=np.int64).reshape(-1, 2)


def epipolar_distance(rays_a: np.ndarray, rays_b: np.ndarray, b_from_a: np.ndarray) -> np.ndarray:
    """(K,) first-order distances, at z = 1, of matched rays (K, 3) from what a relative pose (4, 4) allows.

    Without a baseline, only the rotation can be contradicted in one direction; rays that obey it have distance zero.

    Source: Sampson's approximation, Hartley and Zisserman, Multiple View Geometry, equation 11.9.
    """
    t = b_from_a[:3, 3] / max(float(np.linalg.norm(b_from_a[:3, 3])), 1e-12)
    if not t.any():
        t = np.array([1.0, 0.0, 0.0])
    essential = np.array([[0, -t[2], t[1]], [t[2], 0, -t[0]], [-t[1], t[0], 0]]) @ b_from_a[:3, :3]
    in_b, in_a = rays_a @ essential.T, rays_b @ essential
    slope = np.sqrt(in_b[:, 0] ** 2 + in_b[:, 1] ** 2 + in_a[:, 0] ** 2 + in_a[:, 1] ** 2)
    return np.abs(np.sum(rays_b * in_b, axis=1)) / np.maximum(slope, 1e-12)


def orb_shares(
    pairs: np.ndarray,
    images: tuple[Path, ...],
    poses: Poses,
    cameras: Mapping[int, Camera],
    epipolar_px: float,
    bar: Progress,
) -> np.ndarray:
    """How many of the features of each pair match.

    Args:
        pairs: (P, 2) rows.
        images, poses: of all photos.
        cameras: of those in the pairs, by row; needed when ``epipolar_px`` is not 0.
        epipolar_px: matches farther from where the poses say do not count, pixels of the reduced photos; 0 counts all.
        bar: counts photos and pairs.

    Returns:
        (P,) matches over detected features, the mean over both photos; 0 where a photo has no features.

    Raises:
        NotFound: when OpenCV is not installed. BadInput: for photos that cannot be used, with count and the first.

    Source: section 2.1 i of the paper. Beyond it, known poses rule matches out.
    """
    opencv()
    rows = np.unique(pairs).tolist()
    relative = np.linalg.inv(poses.to_matrices())

    def features_of(row: int) -> Features | IrplocError:
        try:
            return detect(images[row], cameras.get(row) if epipolar_px else None)
        except IrplocError as error:
            return error

    def matches_of(pair: tuple[int, int]) -> int:
        a, b = features[pair[0]], features[pair[1]]
        found = match(a.descriptors, b.descriptors)
        if not epipolar_px or not len(found):
            return len(found)
        b_from_a = relative[pair[1]] @ world[pair[0]]
        distances = epipolar_distance(a.rays[found[:, 0]], b.rays[found[:, 1]], b_from_a)
        return int((distances <= epipolar_px * (a.pixel + b.pixel) / 2).sum())

    world = poses.to_matrices()
    with one_thread_a_call():
        detected = in_threads(features_of, rows, bar)
        failed = [result for result in detected if isinstance(result, IrplocError)]
        if failed:
            raise BadInput(f"{len(failed)} of {len(rows)} photos cannot be used; first: {failed[0]}")
        features = {row: found for row, found in zip(rows, detected, strict=True) if isinstance(found, Features)}
        common = np.array(in_threads(matches_of, [(i, j) for i, j in pairs.tolist()], bar), dtype=np.int64)
    counts = np.zeros(len(images), dtype=np.int64)
    counts[rows] = [len(features[row].descriptors) for row in rows]
    return np.nan_to_num(mean_share(common, counts[pairs[:, 0]], counts[pairs[:, 1]]))
