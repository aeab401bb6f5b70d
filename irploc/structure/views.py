"""Views: photos of a place from where nobody stood, drawn from its mapping photos and points, with exact poses.

A walk leaves gaps between its photos, and a regressor that was trained on the walk alone answers badly there. Each mapping
photo, bent by the depth of its points to poses a little beside its own (``warp``), shows the encoder what is seen there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from irploc.errors import BadInput, Mismatch
from irploc.files import replacing
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.images import decode_image
from irploc.progress import Progress, Silent
from irploc.scene import Frames, Scene
from irploc.structure.pointmap import PointMap
from irploc.structure.sight import Slack, seen_from
from irploc.structure.warp import Relief, relief_of, warped

SOURCE = "irploc views"
_MOST_UNKNOWN = 0.45  # share of a view that its photo may not show
_TRIES = 4
_QUALITY = 92
_AS_SEEN = Slack(cosine=0.1, scale=1.5)


@dataclass(frozen=True)
class ViewOptions:
    """Which views are drawn.

    Attributes:
        per_photo: of each mapping photo.
        most: of a place; each photo gets fewer where it has many.
        turn_deg: standard deviation of the turn about each axis; half of it about the optical axis.
        shift: standard deviation of the shift along each axis, as a share of the median depth of what the photo shows.
        seed: of the draws.

    Raises:
        BadInput: for numbers that cannot be.
    """

    per_photo: int = 6
    turn_deg: float = 5.0
    shift: float = 0.05
    seed: int = 0
    most: int = 20_000

    def __post_init__(self) -> None:
        for name, least, most in (("per_photo", 1, 100), ("turn_deg", 0.0, 30.0), ("shift", 0.0, 0.5)):
            if not least <= getattr(self, name) <= most:
                raise BadInput(f"{name} is {getattr(self, name)}, it must lie in [{least}, {most}]")


def drawn_pose(pose: Poses, depth_m: float, options: ViewOptions, key: tuple[int, ...]) -> Poses:
    """A pose near one: turned about its axes and shifted; the same for the same key.

    Args:
        depth_m: of what is seen.
        key: non-negative numbers, which view of which photo.
    """
    generator = np.random.default_rng([options.seed, *key])
    turn = np.radians(options.turn_deg) * generator.standard_normal(3) * (1.0, 1.0, 0.5)
    shift = options.shift * depth_m * generator.standard_normal(3)
    matrix = pose.to_matrices()
    matrix[0, :3, 3] += matrix[0, :3, :3] @ shift
    matrix[0, :3, :3] = matrix[0, :3, :3] @ Rotation.from_rotvec(turn).as_matrix()
    return Poses.from_matrices(matrix)


def draw_views(
    scene: Scene,
    point_map: PointMap,
    folder: Path,
    max_side: int | None,
    options: ViewOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Scene:
    """A scene of views, its pictures written into ``folder``; those that are there are not drawn again.

    Args:
        scene: whose photos are bent.
        point_map: of it; it need not be made from all of its photos.
        folder: of the views' scene; a photo's views are ``images/<hash of its name>-<number>.jpg``.
        max_side: of the pictures, that of the embeddings.
        progress: takes a step per photo.
        say: takes a note about photos that give no views.

    Returns:
        Its frames map, their sequence is the name of the photo that they were drawn from; not saved yet.

    Raises:
        Mismatch: a photo of the map is not in the scene.
        NotFound, BadInput: a photo cannot be read, or no photo gives views.
    """
    options, bar = options or ViewOptions(), progress or Silent()
    photos = scene.frames.of_split("train")
    strange = set(point_map.names) - set(photos.names)
    if strange:
        raise Mismatch(f"the map of scene {scene.name} has {min(strange)}, which does not map it: triangulate it again")
    if per_photo_of(len(photos), options) < options.per_photo:
        say(f"{len(photos)} photos: {per_photo_of(len(photos), options)} views of each instead of {options.per_photo}")
    drawn: list[tuple[Path, str, Poses]] = []
    barren = 0
    for row, name in enumerate(photos.names):
        camera = scene.cameras.get(photos.cameras[row])
        views = []
        if camera is not None:
            photo = _Drawn(photos.images[row], name, photos.poses[[row]], camera, point_map)
            views = photo.views(folder / "images", max_side, options, per_photo_of(len(photos), options))
        barren += not views
        drawn.extend(views)
        bar.advance()
    if barren:
        say(f"{barren} of {len(photos)} photos see too few points to draw views of them, or have no camera")
    if not drawn:
        raise BadInput(f"no photo of scene {scene.name} gives views: their points are too few or too near")
    return _scene_of(drawn, scene, folder, options)


class _Drawn:
    """A photo of which views are drawn."""

    def __init__(self, image: Path, name: str, pose: Poses, camera: Camera, point_map: PointMap) -> None:
        self._image, self._name, self._pose, self._camera = image, name, pose, camera
        seen = seen_from(point_map, pose, camera, _AS_SEEN)[0]
        self._relief = relief_of(camera, pose, point_map.points_m[seen])
        self._photo: np.ndarray | None = None

    def views(self, folder: Path, max_side: int | None, options: ViewOptions, count: int) -> list[tuple[Path, str, Poses]]:
        """Paths and poses; none where it sees too little."""
        if self._relief is None:
            return []
        key = hashlib.sha256(self._name.encode()).digest()
        views = []
        for view in range(count):
            for attempt in range(_TRIES):
                numbers = (int.from_bytes(key[:6], "little"), view, attempt)
                there = drawn_pose(self._pose, self._relief.depth_m, options, numbers)
                path = folder / f"{key[:8].hex()}-{_facts(options, there)}-{view:02d}.jpg"
                if path.is_file() or self._draw(self._relief, there, path, max_side):
                    views.append((path, self._name, there))
                    break
        return views

    def _draw(self, relief: Relief, pose: Poses, path: Path, max_side: int | None) -> bool:
        """Whether the view shows enough to be written."""
        if self._photo is None:
            self._photo = np.asarray(decode_image(self._image, max_side))
        found = warped(self._photo, self._camera, relief, pose)
        if found is None or found[1] > _MOST_UNKNOWN:
            return False
        with replacing(path) as temporary:
            Image.fromarray(found[0]).save(temporary, format="JPEG", quality=_QUALITY)
        return True


def per_photo_of(photos: int, options: ViewOptions) -> int:
    """How many views each of so many photos gets."""
    return max(1, min(options.per_photo, options.most // max(photos, 1)))


def _facts(options: ViewOptions, pose: Poses) -> str:
    """A few letters that are others for another pose, so that pictures of an older map are not taken for today's."""
    numbers = np.round(np.concatenate([pose.centers_m[0], pose.world_from_cam_wxyz[0]]) * 1e6).astype("<i8")
    return hashlib.sha256(repr(asdict(options)).encode() + numbers.tobytes()).hexdigest()[:8]


def _scene_of(drawn: list[tuple[Path, str, Poses]], scene: Scene, folder: Path, options: ViewOptions) -> Scene:
    paths = tuple(path.absolute() for path, _, _ in drawn)
    frames = Frames(
        images=paths,
        names=tuple(path.name for path in paths),
        sequences=np.array([name for _, name, _ in drawn], dtype=object),
        indices=np.arange(len(drawn)),
        splits=np.full(len(drawn), "train", dtype=object),
        cameras=("",) * len(drawn),
        poses=Poses.concatenate([pose for _, _, pose in drawn]),
    )
    facts = f"{options.per_photo} a photo, {options.turn_deg:g} deg, {options.shift:g} of the depth, seed {options.seed}"
    return Scene(
        name=f"{scene.name}-views",
        image_root=(folder / "images").absolute(),
        frames=frames,
        ground_truth=views_ground_truth(scene.mapping_fingerprint),
        source=f"{SOURCE}: {facts}",
        units=scene.units,
    )


def views_ground_truth(mapping_fingerprint: str) -> str:
    """What a scene of views names as the origin of its poses: the mapping photos that they were drawn from."""
    return f"drawn from mapping photos {mapping_fingerprint}"
