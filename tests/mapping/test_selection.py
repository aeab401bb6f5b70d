"""Which frames of a video become photos."""

from __future__ import annotations

import numpy as np
import pytest
from toy_videos import measured

from irploc.errors import BadInput
from irploc.mapping.selection import SelectionOptions, picture_motion, select_frames
from irploc.mapping.video import Measured


def test_the_sharpest_frame_of_each_slot_is_taken() -> None:
    sharpness = [5, 9, 5, 5, 5, 5, 5, 5, 5, 7]  # two slots of five at 6 of 30 frames a second
    found = select_frames(measured(sharpness))
    assert found.numbers.tolist() == [1, 9]
    assert found.reasons == ("", "")


def test_of_equally_sharp_frames_the_first_is_taken() -> None:
    assert select_frames(measured([5.0] * 10)).numbers.tolist() == [0, 5]


def test_a_slower_video_gives_all_its_frames() -> None:
    assert select_frames(measured([5.0] * 7, fps=2.0)).numbers.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_slots_are_of_time_not_of_frames() -> None:
    steady = measured([5.0] * 4, fps=30.0)
    gap = Measured(np.array([0.0, 0.05, 3.0, 3.01]), steady.sharpness, steady.thumbnails)
    assert select_frames(gap, SelectionOptions(fps=6.0)).numbers.tolist() == [0, 2]


def test_a_frame_much_less_sharp_than_those_around_is_left_out() -> None:
    sharpness = np.full(40, 100.0)
    sharpness[20] = 45.0
    found = select_frames(measured(sharpness.tolist(), fps=6.0))
    assert found.dropped("blurred") == 1
    assert 20 not in found.numbers
    assert found.sharpness[20] == pytest.approx(0.45)


def test_a_place_with_little_texture_is_not_blurred() -> None:
    sharpness = [100.0] * 40 + [20.0] * 40  # from a shelf to a bare wall
    found = select_frames(measured(sharpness, fps=6.0))
    assert found.dropped("blurred") == 0


def test_a_standstill_gives_one_photo() -> None:
    found = select_frames(measured([5.0] * 12, fps=6.0, moving=False))
    assert found.numbers.tolist() == [0]
    assert found.dropped("no motion") == 11


def test_slow_motion_is_measured_from_the_last_photo_that_was_kept() -> None:
    crawling = measured([5.0] * 8, fps=6.0)
    options = SelectionOptions(least_motion=2.5 / 160)  # a frame moves by 1/160 of the width
    assert select_frames(crawling, options).numbers.tolist() == [0, 3, 6]


def test_motion_is_a_share_of_the_width_whatever_the_contrast() -> None:
    for contrast in (10.0, 60.0):
        first, second = (100 + contrast * np.sin((np.arange(160) + shift) / 8) for shift in (0.0, 2.0))
        moved = picture_motion(np.tile(first, (90, 1)), np.tile(second, (90, 1)))
        assert moved == pytest.approx(2 / 160, rel=0.05)


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"fps": float("inf")}, {"least_sharpness": 1.0}, {"least_motion": -0.1}])
def test_options_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=r"^(fps|least sharpness|least motion) is"):
        SelectionOptions(**wrong)
