"""From photos of a rendered place to a map: whole, interrupted, and of photos that make none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irploc.errors import BadInput, NotFound
from irploc.geometry.poses import Poses, pose_errors
from irploc.geometry.similarity import Similarity
from irploc.mapping.build import BuildOptions, BuiltMap
from irploc.mapping.build import build_map as building
from irploc.mapping.features import CameraOptions
from irploc.mapping.matching import MatchingOptions
from irploc.mapping.result import assemble, block_size_for
from irploc.progress import Progress, Silent, Stages, silent_stages
from irploc.pycolmap_safe import import_pycolmap
from irploc.scene import Frames, Scene
from irploc.splits import by_blocks

COUNT = 9


def build_map(source: Path, out: Path, options: BuildOptions, stages: Stages = silent_stages, **more: Any) -> BuiltMap:
    """All stages, and the work stays."""
    with building(source, out, options, stages, **more) as built:
        return built


@pytest.fixture(scope="module")
def photos(room_walk: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for path in room_walk.frames.images:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def built(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BuiltMap, Path]:
    out = tmp_path_factory.mktemp("built")
    return build_map(photos, out, BuildOptions()), out


def true_poses(room_walk: Scene, frames: Frames) -> Poses:
    by_name = {path.name: row for row, path in enumerate(room_walk.frames.images)}
    return room_walk.frames.poses[[by_name[path.name] for path in frames.images]]


def aligned(found: Poses, true: Poses) -> Poses:
    best = import_pycolmap().estimate_sim3d(found.centers_m, true.centers_m)
    return Similarity(best.scale, tuple(np.roll(best.rotation.quat, 1)), tuple(best.translation)).apply_to_poses(found)


def largest_turn_error_deg(found: Poses, true: Poses) -> float:
    """Of rotations since the first photo: a short straight walk says little about the frame it is in."""
    ours, theirs = (poses.to_matrices()[:, :3, :3] for poses in (found, true))
    both = np.einsum("ji,njk->nik", ours[0], ours), np.einsum("ji,njk->nik", theirs[0], theirs)
    cosines = (np.einsum("nij,nij->n", *both) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())


def test_a_walk_becomes_a_scene_with_the_true_poses_up_to_a_similarity(
    built: tuple[BuiltMap, Path], room_walk: Scene, photos: Path
) -> None:
    made, out = built
    scene = assemble(made, out, "room", lambda frames: by_blocks(frames, block_size_for(frames)), {"fps": 6})
    scene.save(out)
    again = Scene.load(out)
    assert len(again.frames) == COUNT
    assert again.image_root == photos
    assert again.units == "as in the model"
    assert set(again.frames.sequences) == {photos.name}
    assert set(again.frames.splits) == {"train", "test"}
    true = true_poses(room_walk, scene.frames)
    metres, _ = pose_errors(aligned(scene.frames.poses, true), true)
    walk = np.linalg.norm(np.ptp(true.centers_m, axis=0))
    assert np.median(metres) < 0.01 * walk
    assert largest_turn_error_deg(scene.frames.poses, true) < 0.5
    focal = room_walk.cameras[room_walk.frames.cameras[0]].focal_px[0]
    assert scene.cameras["camera1"].focal_px[0] == pytest.approx(focal, rel=0.05)
    record = json.loads((out / "build.json").read_text())
    assert record["quality"]["registered"] == record["quality"]["photos"] == COUNT
    assert import_pycolmap().Reconstruction(str(out / "sparse")).num_points3D() == record["quality"]["points"]


def test_colmaps_lines_are_in_a_file(built: tuple[BuiltMap, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert "Registering image" in (built[1] / "colmap.log").read_text()
    assert not [path for path in built[1].iterdir() if path.name.startswith(".colmap")]
    assert capfd.readouterr().err == ""


def interrupted_in(stage: str) -> Stages:
    """Bars, of which one raises at its first step."""

    class Breaks(Silent):
        def advance(self, count: int = 1) -> None:
            raise KeyboardInterrupt

    @contextmanager
    def stages(title: str, total: int, unit: str) -> Iterator[Progress]:
        yield Breaks() if title == stage else Silent()

    return stages


def test_an_interrupted_build_goes_on_and_comes_to_the_same_map(
    photos: Path, built: tuple[BuiltMap, Path], tmp_path: Path
) -> None:
    for stage in ("features", "matching"):
        with pytest.raises(KeyboardInterrupt):
            build_map(photos, tmp_path, BuildOptions(), interrupted_in(stage))
    said: list[str] = []
    made = build_map(photos, tmp_path, BuildOptions(), say=said.append)
    assert said[0] == f"going on with what is done in {tmp_path / 'build'}"
    assert made.quality.registered == built[0].quality.registered
    cameras = made.model.reconstruction.cameras
    assert len(cameras) == 1
    assert abs(made.quality.points - built[0].quality.points) < 0.1 * built[0].quality.points


def test_other_settings_start_over(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build_map(photos, tmp_path, BuildOptions(), interrupted_in("matching"))
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        build_map(photos, tmp_path, BuildOptions(max_features=500), interrupted_in("matching"), say=said.append)
    assert said[0].endswith("was made with other settings or photos: starting over")


def test_two_places_make_no_map_and_the_groups_are_named(room_walk: Scene, toy_scene: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    walk = room_walk.frames.images
    for number, path in enumerate([*walk[:6], *_noise(tmp_path, 6)]):
        shutil.copy(path, folder / f"{number:03d}.jpg")
    with pytest.raises(
        BadInput, match=r"only \d+ of 12 photos could be registered \(\d+%, at least 70% are wanted\): "
    ) as caught:
        build_map(folder, tmp_path / "out", BuildOptions())
    assert "\n" not in str(caught.value)


def _noise(folder: Path, count: int) -> list[Path]:
    """Pictures of nothing in common."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    paths = []
    for number in range(count):
        noise = gaussian_filter(np.random.default_rng(number).random((240, 320)), 2)
        levels = (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)
        paths.append(folder / f"noise{number}.jpg")
        Image.fromarray(levels).convert("RGB").save(paths[-1])
    return paths


def test_too_few_photos_photos_of_two_sizes_and_other_wrong_input_are_refused(photos: Path, tmp_path: Path) -> None:
    from PIL import Image

    with pytest.raises(NotFound, match="no video or folder of photos"):
        build_map(tmp_path / "none", tmp_path / "out", BuildOptions())
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadInput, match=r"notes\.txt is (a text file|not a video)"):
        build_map(tmp_path / "notes.txt", tmp_path / "out", BuildOptions())
    with pytest.raises(BadInput, match="is a single photo: give a folder"):
        build_map(next(photos.iterdir()), tmp_path / "out", BuildOptions())
    few = tmp_path / "few"
    few.mkdir()
    names = sorted(photos.iterdir())
    for path in names[:3]:
        shutil.copy(path, few)
    with pytest.raises(BadInput, match="3 photos are too few for a map, it needs at least 6"):
        build_map(few, tmp_path / "out", BuildOptions())
    for path in names[3:7]:
        shutil.copy(path, few)
    with Image.open(names[7]) as image:
        image.resize((160, 120)).save(few / "small.jpg")
    with pytest.raises(BadInput, match=r"small\.jpg is 160x120: one --focal cannot be right for both; leave it out"):
        build_map(few, tmp_path / "out", BuildOptions(cameras=CameraOptions(focal_px=300.0)))


def test_photos_of_two_sizes_have_a_camera_each_however_often_interrupted(
    photos: Path, room_walk: Scene, tmp_path: Path
) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number, path in enumerate(sorted(photos.iterdir())):
        with Image.open(path) as image:
            turned = image.transpose(Image.Transpose.ROTATE_90) if number % 2 else image
            turned.save(folder / path.name, quality=95)
    known = BuildOptions(cameras=CameraOptions(focal_px=next(iter(room_walk.cameras.values())).focal_px[0]))
    with pytest.raises(KeyboardInterrupt):
        build_map(folder, tmp_path / "out", known, interrupted_in("features"))
    made = build_map(folder, tmp_path / "out", known)
    assert made.quality.registered == COUNT
    sizes = sorted((camera.width, camera.height) for camera in made.model.reconstruction.cameras.values())
    assert sizes == [(240, 320), (320, 240)]


def test_the_same_seed_gives_the_same_matches_and_very_nearly_the_same_map(
    photos: Path, built: tuple[BuiltMap, Path], tmp_path: Path
) -> None:
    again, (first, out) = build_map(photos, tmp_path, BuildOptions()), built
    assert matches_of(tmp_path) == matches_of(out)
    assert again.model.registered == first.model.registered
    assert again.quality.points == pytest.approx(first.quality.points, rel=0.05)  # threads add up in any order
    true = first.model.reconstruction.cameras[1].mean_focal_length()
    assert again.model.reconstruction.cameras[1].mean_focal_length() == pytest.approx(true, rel=0.01)


def matches_of(out: Path) -> dict[int, int]:
    """Verified matches of each pair."""
    with import_pycolmap().Database.open(str(out / "build/database.db")) as database:
        return dict(zip(*database.read_two_view_geometry_num_inliers(), strict=True))


def test_a_camera_that_only_turned_makes_no_map(room_walk: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    _turned_views(room_walk.frames.images[0], folder)
    with pytest.raises(
        BadInput, match=r"(the camera moved by only 0\.\d+ of the distance|could be registered).*only turned"
    ):
        build_map(folder, tmp_path / "out", BuildOptions())


def _turned_views(photo: Path, folder: Path, count: int = 10) -> None:
    """What a camera that turns about its centre sees of a picture on a sphere around it."""
    from PIL import Image
    from scipy.ndimage import map_coordinates
    from scipy.spatial.transform import Rotation

    with Image.open(photo) as image:
        grey = np.asarray(image.convert("L").resize((960, 720))).astype(np.float32)
    u, v = np.meshgrid(np.arange(320) - 159.5, np.arange(240) - 119.5)
    rays = np.stack([u / 300, v / 300, np.ones_like(u)], axis=-1)
    for number in range(count):
        seen = Rotation.from_euler("yx", [-18 + 36 * number / (count - 1), 4 * np.sin(number)], degrees=True).apply(
            rays.reshape(-1, 3)
        )
        longitude, latitude = np.arctan2(seen[:, 0], seen[:, 2]), np.arcsin(seen[:, 1] / np.linalg.norm(seen, axis=1))
        pixels = map_coordinates(grey, [360 + 500 * latitude, 480 + 500 * longitude], order=1, mode="reflect")
        Image.fromarray(pixels.reshape(240, 320).clip(0, 255).astype(np.uint8)).convert("RGB").save(
            folder / f"{number:03d}.jpg", quality=95
        )


@pytest.mark.parametrize("wrong", [{"min_registered": 1.5}, {"max_features": 10}, {"max_side": 10}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=r"is 1\.5|is 10"):
        BuildOptions(**wrong)  # type: ignore[arg-type]


def test_walks_longer_than_all_pairs_are_matched_by_window_and_likeness(
    photos: Path, tmp_path: Path, tiny_encoder: None
) -> None:
    options = BuildOptions(matching=MatchingOptions(window=2, similar=3, exhaustive=5), encoder="tiny")
    made = build_map(photos, tmp_path, options)
    assert made.quality.registered == COUNT
    with import_pycolmap().Database.open(str(tmp_path / "build/database.db")) as database:
        compared = database.num_matched_image_pairs()
    assert COUNT - 1 + COUNT - 2 < compared < COUNT * (COUNT - 1) // 2
