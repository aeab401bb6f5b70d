"""Named points: where they are in a scene (clicked, given or triangulated by the map), and where in the building."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput
from irploc.geometry.similarity import Similarity
from irploc.mapping.align_store import load_model, sparse_folder
from irploc.mapping.known_pixels import CLICK_PX, Click, triangulate
from irploc.mapping.known_tables import PhotoNames, read_table, repeated
from irploc.scene import Scene

PHOTO_SIGMA_M = 0.02  # of a place where somebody says a photo was taken: where in a phone is its camera?
_LAYOUTS = (("name", "image", "u", "v"), ("name", "x", "y", "z"), ("name", "point3d"))


@dataclass(frozen=True)
class NamedPoints:
    """Points of a scene.

    Attributes:
        names: K unique names.
        points: (K, 3) in the scene's frame.
        covariances: (K, 3, 3), zero where nothing is known of it.
    """

    names: tuple[str, ...]
    points: np.ndarray
    covariances: np.ndarray

    def moved(self, new_from_old: Similarity) -> NamedPoints:
        """The same points in another frame."""
        turn = new_from_old.matrix[:3, :3]
        return replace(self, points=new_from_old.apply(self.points), covariances=turn @ self.covariances @ turn.T)

    def row(self, name: str) -> int | None:
        """The number of a point, None where there is none of this name."""
        return self.names.index(name) if name in self.names else None


@dataclass(frozen=True)
class End:
    """One end of a distance.

    Attributes:
        point: (3,) in the scene's frame.
        covariance: (3, 3), zero where nothing is known of it.
        sigma_m: how well somebody in the building knows where that is, metres.
    """

    point: np.ndarray
    covariance: np.ndarray
    sigma_m: float = 0.0


NO_POINTS = NamedPoints((), np.zeros((0, 3)), np.zeros((0, 3, 3)))


def read_points(path: Path, scene: Scene, folder: Path) -> NamedPoints:
    """The table of ``--points``: a row is a click (``name,image,u,v``), a point of the scene's frame (``name,x,y,z``), or a
    point of its sparse model by number (``name,point3d``).

    Raises:
        BadInput: rows that are none of these, photos that are not in the scene, and all that ``triangulate`` refuses.
    """
    photos, model = PhotoNames(scene.frames.names), _SparsePoints(folder)
    clicks: dict[str, list[Click]] = {}
    given: dict[str, End] = {}
    order: list[str] = []
    for row in read_table(path, *_LAYOUTS):
        name = row.text("name")
        if name in given or (name in clicks and not row.has("image")):
            raise BadInput(f"{row.where}: {name!r} is given before, as another kind of point or twice")
        if row.has("image"):
            u, v = row.numbers("u", "v")
            clicks.setdefault(name, []).append(Click(photos.row(row.text("image"), row.where), (float(u), float(v))))
        elif row.has("point3d"):
            given[name] = model.point(row.text("point3d"), row.where)
        else:
            given[name] = End(row.numbers("x", "y", "z"), np.zeros((3, 3)))
        if name not in order:
            order.append(name)
    seen = {name: triangulate(scene, name, several) for name, several in clicks.items()}
    return NamedPoints(
        tuple(order),
        np.stack([seen[name].point if name in seen else given[name].point for name in order]),
        np.stack([seen[name].covariance if name in seen else given[name].covariance for name in order]),
    )


def locate_point(text: str, points: NamedPoints, scene: Scene, folder: Path) -> End:
    """Where one end of a distance is, and how well that is known.

    Args:
        text: a name of ``points``, ``x,y,z`` in the scene's frame, ``point3d:NUMBER`` of the sparse model, or
            ``photo:NAME``, where a photo was taken.

    Raises:
        BadInput: for anything else.
    """
    unknown = np.zeros((3, 3))
    row = points.row(text)
    if row is not None:
        return End(points.points[row], points.covariances[row])
    kind, _, rest = text.partition(":")
    if kind == "point3d" and rest:
        return _SparsePoints(folder).point(rest, text)
    if kind == "photo" and rest:
        center = scene.frames.poses.centers_m[PhotoNames(scene.frames.names).row(rest, text)]
        return End(center, unknown, PHOTO_SIGMA_M)
    try:
        place = np.array([float(part) for part in text.split(",")])
    except ValueError:
        place = np.zeros(0)
    if place.shape == (3,) and np.isfinite(place).all():
        return End(place, unknown)
    known = f"--points has {', '.join(points.names)}" if points.names else "there is no --points file"
    raise BadInput(f"{text!r} is no point: expected a name ({known}), x,y,z, point3d:NUMBER or photo:NAME")


def read_known(path: Path, columns: tuple[str, ...] = ("x", "y", "z")) -> tuple[list[str], np.ndarray]:
    """Names and coordinates (N, columns), metres, of the table ``name,x,y,z`` of the building.

    Raises:
        BadInput: for a name that occurs twice, or a cell that is no number.
    """
    rows = read_table(path, ("name", *columns))
    names = [row.text("name") for row in rows]
    repeated(names, path)
    return names, np.stack([row.numbers(*columns) for row in rows])


class _SparsePoints:
    """The points of the scene's own model, by number; read on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None

    def point(self, number: str, where: str) -> End:
        """In the scene's frame, with the covariance that its track gives."""
        if self._model is None:
            model = sparse_folder(self._folder)
            if model is None:
                raise BadInput(f"{where}: the scene {self._folder} keeps no sparse model, so its points have no numbers")
            self._model = load_model(model)
        if not number.isdecimal() or int(number) not in self._model.points3D:
            raise BadInput(f"{where}: the scene's model has no point {number!r}")
        found = self._model.points3D[int(number)]
        place = np.array(found.xyz, dtype=np.float64)
        images = [self._model.images[image] for image in sorted({element.image_id for element in found.track.elements})]
        if len(images) < 2:
            return End(place, np.zeros((3, 3)))
        centers = np.array([image.projection_center() for image in images])
        focals = np.array([self._model.cameras[image.camera_id].mean_focal_length() for image in images])
        return End(place, track_covariance(place, centers, focals, max(CLICK_PX, float(found.error))))


def track_covariance(point: np.ndarray, centers: np.ndarray, focals_px: np.ndarray, sigma_px: float) -> np.ndarray:
    """(3, 3) of a point (3,) that cameras at (C, 3) see, C at least 2, with that standard deviation in their pixels.

    Every camera tells where the point is across its ray, to the pixel's size there, and nothing along it.
    """
    rays = point - centers
    depths = np.linalg.norm(rays, axis=1)
    rays = rays / depths[:, None]
    across = np.eye(3) - rays[:, :, None] * rays[:, None, :]
    known = np.sum((focals_px / (sigma_px * depths))[:, None, None] ** 2 * across, axis=0)
    return np.asarray(np.linalg.inv(known + 1e-9 * np.trace(known) * np.eye(3)))
