"""Frames of a video: their numbers, times and orientation, and files that are no videos."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput, NotFound
from irploc.mapping.video import extract_frames, frame_name, measure_frames, video_facts

imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="videos need imageio-ffmpeg")
from toy_videos import number_of, striped, write_video  # noqa: E402


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty frames, ten a second."""
    return write_video(tmp_path_factory.mktemp("video") / "walk.mp4", [striped(number) for number in range(20)])


def ffmpeg(*arguments: str) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-loglevel", "error", *arguments], check=True)


def test_the_header_tells_size_rate_and_length(video: Path) -> None:
    facts = video_facts(video)
    assert (facts.width, facts.height, facts.fps, facts.frames) == (64, 48, 10.0, 20)


def test_every_frame_is_measured_with_its_time(video: Path) -> None:
    found = measure_frames(video, video_facts(video))
    np.testing.assert_allclose(found.times_s, np.arange(20) / 10, atol=1e-3)
    assert found.thumbnails.shape == (20, 48, 64)
    assert (found.sharpness > 0).all()


def test_a_blurred_frame_is_less_sharp(tmp_path: Path) -> None:
    from scipy.ndimage import uniform_filter

    frames = [striped(3), uniform_filter(striped(3), (1, 7, 1)), striped(3)]
    path = write_video(tmp_path / "blur.mp4", frames)
    sharpness = measure_frames(path, video_facts(path)).sharpness
    assert sharpness[1] < 0.5 * min(sharpness[0], sharpness[2])


@pytest.mark.parametrize("numbers", [[0], [19], [3, 4, 11], list(range(0, 20, 2)), list(range(20))])
def test_extracted_frames_are_those_of_their_names(video: Path, tmp_path: Path, numbers: list[int]) -> None:
    extract_frames(video, numbers, tmp_path / "images")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [frame_name(number) for number in numbers]
    shown = [number_of(np.asarray(Image.open(tmp_path / "images" / frame_name(number)))) for number in numbers]
    assert shown == numbers
    assert [path.name for path in tmp_path.iterdir()] == ["images"]  # nothing temporary is left


def test_times_follow_a_variable_frame_rate(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "variable.mp4"
    ffmpeg("-i", str(video), "-vf", "select=lt(n\\,6)+not(mod(n\\,4))", "-fps_mode", "vfr", str(path))
    times = measure_frames(path, video_facts(path)).times_s
    np.testing.assert_allclose(times, np.array([0, 1, 2, 3, 4, 5, 8, 12, 16]) / 10, atol=2e-3)


def test_rotation_metadata_is_honoured(video: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(video), "-c", "copy", str(turned))
    facts = video_facts(turned)
    assert (facts.width, facts.height) == (48, 64)
    assert measure_frames(turned, facts).thumbnails.shape[1:] == (64, 48)
    extract_frames(turned, [4], tmp_path / "images")
    picture = np.asarray(Image.open(tmp_path / "images" / frame_name(4)))
    assert number_of(np.rot90(picture, -1)) == 4  # upright is a quarter turn to the left of what is stored


def test_pixels_are_square(video: Path, tmp_path: Path) -> None:
    wide = tmp_path / "wide.mp4"
    ffmpeg("-i", str(video), "-vf", "setsar=2/1", str(wide))
    extract_frames(wide, [0], tmp_path / "images")
    assert Image.open(tmp_path / "images" / frame_name(0)).size == (128, 48)


def test_a_file_that_is_no_video_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^no video .*none\.mp4$"):
        video_facts(tmp_path / "none.mp4")
    for content in (b"", b"hello", bytes(1000)):
        (tmp_path / "bad.mp4").write_bytes(content)
        with pytest.raises(BadInput, match=r"bad\.mp4 is not a video that ffmpeg can read"):
            video_facts(tmp_path / "bad.mp4")


def test_a_file_that_is_cut_off_gives_the_frames_it_has(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", [striped(number) for number in range(20)])
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    found = measure_frames(cut, video_facts(cut))
    assert 3 <= len(found) < 20
    with pytest.raises(BadInput, match=r"only \d+ of 2 frames can be decoded; the file is damaged"):
        extract_frames(cut, [1, 19], tmp_path / "images")


def test_a_text_file_is_no_video_although_ffmpeg_would_draw_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("words\n" * 50)
    with pytest.raises(BadInput, match=r"notes\.txt is (a text file, not a video|not a video that ffmpeg can read)"):
        video_facts(tmp_path / "notes.txt")
