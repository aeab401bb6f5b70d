"""A room of points with cameras that walk through it, in its own frame (z up, floor at 0) or any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.geometry.similarity import Similarity
from irploc.projection import project_points
from irploc.scene import Frames, Scene

CAMERA = Camera("SIMPLE_RADIAL", 640, 480, (500.0, 320.0, 240.0, -0.05))
ODD_FRAME = Similarity(4.2, (0.4, -0.5, 0.3, 0.7), (3.0, -8.0, 11.0))  # what structure from motion might give
WORKTOP_M = 0.9


def looking(center: tuple[float, float, float], yaw_deg: float, pitch_deg: float = 0.0, roll_deg: float = 0.0) -> np.ndarray:
    """(4, 4) world_from_cam of a camera that looks along yaw from x, downwards by pitch, in a world with z up."""
    yaw, pitch, roll = np.radians([yaw_deg, pitch_deg, roll_deg])
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    down = np.cross(forward, right)
    matrix = np.eye(4)
    matrix[:3, 0] = right * np.cos(roll) + down * np.sin(roll)
    matrix[:3, 1] = -right * np.sin(roll) + down * np.cos(roll)
    matrix[:3, 2], matrix[:3, 3] = forward, center
    return matrix


def room_poses(count: int = 24, seed: int = 0, headings_deg: float = 330.0, pitch_deg: float = 20.0) -> Poses:
    """A walk about the middle of a 5 x 4 m room at eye height, held level to 3 degrees, looking around."""
    generator = np.random.default_rng(seed)
    turns = np.linspace(0, headings_deg, count)
    return Poses.from_matrices(
        np.stack(
            [
                looking(
                    (2.5 + np.cos(np.radians(turn)), 2 + 0.8 * np.sin(np.radians(1.7 * turn)), 1.6 + 0.1 * np.sin(turn)),
                    float(turn),
                    float(pitch_deg + generator.normal(0, 8)),
                    float(generator.normal(0, 3)),
                )
                for turn in turns
            ]
        )
    )


def room_points(
    seed: int = 0, floor: int = 700, worktop: int = 2500, walls: int = 3000, noise_m: float = 0.008
) -> np.ndarray:
    """(M, 3) points of the floor, of a worktop that has more of them on less area, of walls, of clutter, and outliers."""
    generator = np.random.default_rng(seed)

    def box(count: int, low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
        return generator.uniform(low, high, (count, 3))

    parts = [
        box(floor, (0, 0.6, 0), (5, 4, 0)),
        box(worktop, (0.3, 0, WORKTOP_M), (3.8, 0.6, WORKTOP_M)),
        box(walls, (0, 4, 0), (5, 4, 2.5)),
        box(walls // 2, (0, 0, 0.2), (0, 4, 2.5)),
        box(800, (0.3, 0, 0.05), (3.8, 0.6, 1.6)),
        box(40, (-2, -2, -2), (7, 6, 4)),
    ]
    points = np.concatenate(parts)
    return points + generator.normal(0, noise_m, points.shape)


def room_scene(root: Path, new_from_room: Similarity = ODD_FRAME, units: str = "as in the model", count: int = 24) -> Scene:
    """The walk as a scene in another frame; its photos do not exist."""
    names = tuple(f"frame-{5 * number:06d}.jpg" for number in range(count))
    frames = Frames(
        images=tuple(root / name for name in names),
        names=names,
        sequences=np.array([""] * count),
        indices=5 * np.arange(count),
        splits=np.array(["train"] * count),
        cameras=("phone",) * count,
        poses=new_from_room.apply_to_poses(room_poses(count)),
    )
    return Scene("room", root, frames, {"phone": CAMERA}, "structure from motion", "colmap", units)


def save_room(folder: Path, new_from_room: Similarity = ODD_FRAME, units: str = "as in the model") -> Scene:
    """The scene written with the points as its sparse model; returns it."""
    scene = room_scene(folder / "photos", new_from_room, units)
    scene.save(folder)
    write_model(folder / "sparse", scene, new_from_room.apply(room_points()))
    return scene


def write_model(folder: Path, scene: Scene, points: np.ndarray) -> None:
    """A COLMAP text model without observations; point k has the number k + 1."""
    folder.mkdir(parents=True)
    numbers = " ".join(map(repr, CAMERA.params))
    (folder / "cameras.txt").write_text(f"1 {CAMERA.model} {CAMERA.width} {CAMERA.height} {numbers}\n")
    qvec, tvec = scene.frames.poses.to_cam_from_world()
    lines = []
    for row, name in enumerate(scene.frames.names):
        pose = " ".join(repr(float(value)) for value in [*qvec[row], *tvec[row]])
        lines += [f"{row + 1} {pose} 1 {name}", ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{row + 1} {x!r} {y!r} {z!r} 90 120 150 0.5" for row, (x, y, z) in enumerate(points.tolist())]
    (folder / "points3D.txt").write_text("\n".join(rows) + "\n")


def clicks_of(
    scene: Scene, name: str, point: np.ndarray, photos: int = 3, noise_px: float = 0.0, seed: int = 0
) -> list[str]:
    """Rows ``name,image,u,v`` of a point of the scene's frame in photos that see it, far apart in the walk."""
    generator, rows = np.random.default_rng(seed), []
    for row in range(len(scene.frames)):
        pixel = project_points(CAMERA, cam_from_world(point[None], scene.frames.poses[[row]]))[0]
        if np.isfinite(pixel).all() and np.all((pixel > 1) & (pixel < (CAMERA.width - 1, CAMERA.height - 1))):
            rows.append((scene.frames.names[row], pixel + noise_px * generator.standard_normal(2)))
    assert len(rows) >= photos, f"{name} is seen by {len(rows)} photos"
    chosen = np.linspace(0, len(rows) - 1, photos).round().astype(int)
    return [f"{name},{rows[k][0]},{float(rows[k][1][0])!r},{float(rows[k][1][1])!r}" for k in chosen]


def write_lines(path: Path, *lines: str) -> Path:
    """A small text file; returns its path."""
    path.write_text("\n".join(lines) + "\n")
    return path
