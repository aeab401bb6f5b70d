"""The window of 30 photos in index units."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pairs_wall import make_wall_scene

from irploc.cli import main
from irploc.pairs import PairMatrix
from irploc.pairs.candidates import default_window
from irploc.scene import Scene


@pytest.fixture
def walk(tmp_path: Path) -> Scene:
    return make_wall_scene(tmp_path, tuple(0.1 * number for number in range(8)))


def numbered(scene: Scene, *indices: int) -> Scene:
    return replace(scene, frames=replace(scene.frames, indices=np.array(indices)))


def test_thirty_photos_of_every_frame_are_thirty_and_of_every_tenth_three_hundred(walk: Scene) -> None:
    assert default_window(numbered(walk, *range(8)).frames) == 30
    assert default_window(numbered(walk, *range(0, 80, 10)).frames) == 300
    assert default_window(numbered(walk, 0, 4, 10, 15, 20, 26, 31, 500).frames) == 150  # the median step is 5


def test_a_step_is_between_photos_of_one_walk_in_order_and_never_zero(walk: Scene) -> None:
    assert default_window(numbered(walk, 6, 0, 4, 2, 2, 2, 2, 2).frames) == 60  # 0, 2, 4, 6, not one step in the given order
    frames = numbered(walk, 0, 100, 2, 102, 4, 104, 4, 104).frames
    assert default_window(replace(frames, sequences=np.array(["a", "b"] * 4))) == 60
    assert default_window(frames[[0]]) == 30
    assert default_window(replace(frames, sequences=np.array(list("abcdefgh")))) == 30


def test_photos_that_test_are_steps_of_the_walk_too(walk: Scene) -> None:
    splits = np.array(["train", "validation", "test", "train", "validation", "test", "train", "train"])
    assert default_window(replace(numbered(walk, *range(8)).frames, splits=splits)) == 30


def test_the_command_scales_its_default_but_not_what_it_is_told_and_says_what_it_used(tmp_path: Path, walk: Scene) -> None:
    numbered(walk, *range(0, 80, 10)).save(tmp_path / "scene")
    command = ["--workspace", str(tmp_path), "pairs", str(tmp_path / "scene"), "--out", str(tmp_path / "p.npz")]
    result = CliRunner().invoke(main, [*command, "--test", "none"])
    assert result.exit_code == 0, result.output
    assert "from 28 candidates in" in result.stdout and result.stdout.splitlines()[0].endswith("; window 300")
    assert PairMatrix.load(tmp_path / "p.npz").settings["window"] == 300
    result = CliRunner().invoke(main, [*command, "--test", "none", "--window", "30"])
    assert "from 18 candidates in" in result.stdout and result.stdout.splitlines()[0].endswith("; window 30")
