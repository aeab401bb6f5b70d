"""Frames read one after the other are those of the video, with their times."""

from __future__ import annotations

from pathlib import Path

import pytest
from mapping.toy_videos import number_of, striped, write_video

from irploc.errors import BadInput
from irploc.mapping.video import read_frames, video_facts


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames at ten a second."""
    return write_video(tmp_path_factory.mktemp("video") / "toy.mp4", [striped(number) for number in range(12)], fps=10.0)


@pytest.mark.parametrize("every", [1, 3, 5])
def test_every_nth_frame_is_read_in_full_size_with_its_number_and_time(video: Path, every: int) -> None:
    frames = list(read_frames(video, video_facts(video), every))
    assert [frame.number for frame in frames] == list(range(0, 12, every))
    assert [number_of(frame.pixels) for frame in frames] == [frame.number for frame in frames]
    assert [frame.time_s for frame in frames] == pytest.approx([frame.number / 10 for frame in frames])
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}


def test_a_video_whose_frames_cannot_be_decoded_is_told(video: Path, tmp_path: Path) -> None:
    facts = video_facts(video)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(video.read_bytes()[:200])
    with pytest.raises(BadInput, match="no frame can be decoded"):
        list(read_frames(damaged, facts))
