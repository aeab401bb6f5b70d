"""Photos of a walk whose focal length nobody knows share one in the end; whoever is known, or zoomed, keeps the own one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from learning.fake_locator import walk_of

from irploc.estimators.base import APPROXIMATE, OK, UsedCamera
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.learning import AnswerFile, Walk, ask
from irploc.localizer import Localization
from irploc.progress import Silent
from irploc.structure.intrinsics import ESTIMATED, GIVEN, SCENE

ZOOMED_PX = 900.0


def camera_of(focal_px: float, width: int = 640) -> Camera:
    return Camera("SIMPLE_PINHOLE", width, 480, (focal_px, width / 2, 240.0))


class Locator:
    """Finds photo n with the n-th focal length, at a depth that makes up for it."""

    def __init__(self, cameras: Sequence[Camera], source: str = ESTIMATED, stop_after: int | None = None) -> None:
        self.cameras, self.source, self.left = cameras, source, stop_after
        self.asked: list[tuple[int, float | None]] = []

    def __call__(self, images: Sequence[Path], *, camera: Camera | None = None) -> Iterator[Localization]:
        for image in images:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left = None if self.left is None else self.left - 1
            number = int(image.stem)
            self.asked.append((number, None if camera is None else camera.params[0]))
            own = self.cameras[number]
            used = UsedCamera(self.source, own) if camera is None else UsedCamera(GIVEN, camera)
            zoomed = camera is not None and own.params[0] == ZOOMED_PX
            depth_m = used.camera.params[0] / 100
            pose = Poses(np.array([[float(number), 0.0, depth_m]]), np.array([[1.0, 0.0, 0.0, 0.0]]))
            status = APPROXIMATE if zoomed else OK
            yield Localization(str(image), status, "structure", "toy", pose, 0.99, (), {}, camera=used)


def focal_lengths(walk: Walk, locate: Locator, folder: Path) -> list[float]:
    found = ask(walk, locate, AnswerFile(folder, "the same"), Silent())
    assert all(one.camera and one.center_m and one.center_m[2] == one.camera.params[0] / 100 for one in found), "go together"
    return [one.camera.params[0] for one in found if one.camera]


def test_focal_lengths_found_with_the_poses_become_their_median_and_the_poses_are_found_again(tmp_path: Path) -> None:
    locate = Locator([camera_of(focal) for focal in (500, 530, 510, 490, 520)])
    assert focal_lengths(walk_of(5), locate, tmp_path) == [510] * 5
    assert locate.asked == [*((n, None) for n in range(5)), *((n, 510) for n in range(5))]


def test_each_size_has_a_camera_of_its_own_and_few_photos_keep_theirs(tmp_path: Path) -> None:
    sizes = [camera_of(500), camera_of(510), camera_of(520), camera_of(700, 800), camera_of(710, 800)]
    assert focal_lengths(walk_of(5), Locator(sizes), tmp_path) == [510, 510, 510, 700, 710]


def test_a_photo_that_the_common_camera_does_not_fit_keeps_its_own(tmp_path: Path) -> None:
    cameras = [camera_of(focal) for focal in (500, 510, 520, ZOOMED_PX)]
    assert focal_lengths(walk_of(4), Locator(cameras), tmp_path) == [520, 520, 520, ZOOMED_PX]


def test_a_camera_that_somebody_knows_is_left_alone(tmp_path: Path) -> None:
    locate = Locator([camera_of(focal) for focal in (500, 510, 520)], SCENE)
    assert focal_lengths(walk_of(3), locate, tmp_path) == [500, 510, 520]
    assert len(locate.asked) == 3


@pytest.mark.parametrize("answers", [3, 6, 8])
def test_an_interrupted_run_goes_on_to_the_same_cameras(tmp_path: Path, answers: int) -> None:
    cameras = [camera_of(focal) for focal in (500, 530, 510, 490, 520)]
    with pytest.raises(KeyboardInterrupt):
        focal_lengths(walk_of(5), Locator(cameras, stop_after=answers), tmp_path)
    rest = Locator(cameras)
    assert focal_lengths(walk_of(5), rest, tmp_path) == [510] * 5
    assert len(rest.asked) == 10 - answers
    assert focal_lengths(walk_of(5), rest, tmp_path) == [510] * 5 and len(rest.asked) == 10 - answers
