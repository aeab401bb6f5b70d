"""Tables, order of queries, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_evaluation import Checker, evaluation_of, frames_of, result, walk

from irploc.estimators.base import PoseEstimates
from irploc.evaluation import Evaluation, MethodResult, score_poses
from irploc.geometry.poses import Poses
from irploc.report import markdown, plain_text, render_page, summary_table, write_page
from irploc.report.cards import cards_each
from irploc.report.order import even_sample, extremes, timeline
from irploc.report.photos import Thumbnails
from irploc.scene import Frames


def test_the_table_shows_medians_recalls_and_times_with_the_best_marked(tmp_path: Path) -> None:
    evaluation = evaluation_of(tmp_path, {"far": walk(5, 0.3), "near:k=2": walk(5, 0.125)})
    table = summary_table(evaluation)
    assert [" ".join(heading) for heading in table.headings[:3]] == ["method ", "median m", "median °"]
    assert table.rows[0][:2] == ["far", "0.300"]
    assert table.rows[1][:2] == ["near:k=2", "0.125"]
    assert (1, 1) in table.best
    assert (0, 1) not in table.best
    column = [heading[0] for heading in table.headings].index("≤25cm")
    assert [row[column] for row in table.rows] == ["0.0", "100.0"]
    assert table.rows[0][-1] == "1.00"


def test_equal_values_are_all_best_and_a_single_method_has_no_best(tmp_path: Path) -> None:
    three = {"a": walk(5, 0.2), "b": walk(5, 0.2), "c": walk(5, 0.4)}
    assert {(0, 1), (1, 1)} <= summary_table(evaluation_of(tmp_path, three)).best
    assert not summary_table(evaluation_of(tmp_path, {"a": walk(5, 0.2)})).best


def test_columns_nobody_knows_anything_of_are_left_out(tmp_path: Path) -> None:
    true = walk(5)
    evaluation = Evaluation("toy", "exact", None, frames_of(true, tmp_path, "test"), {"a": result(true, true, None)})
    assert "image" not in [heading[1] for heading in summary_table(evaluation).headings]


def test_plain_text_is_aligned_and_narrow_terminals_lose_the_means_only(tmp_path: Path) -> None:
    table = summary_table(evaluation_of(tmp_path, {"a": walk(5, 0.2), "a longer name": walk(5, 0.4)}))
    wide = plain_text(table).splitlines()
    assert len({len(line) for line in wide[1:]}) == 1
    assert wide[2].split()[:2] == ["a", "0.200"]
    narrow = plain_text(table, width=60).splitlines()
    assert "mean" in wide[0]
    assert "mean" not in narrow[0]
    assert narrow[2].split()[:2] == ["a", "0.200"]
    assert "<0.200>" in plain_text(table, None, lambda cell: f"<{cell.strip()}>")


def test_markdown_has_a_row_per_method_and_escapes_names(tmp_path: Path) -> None:
    text = markdown(evaluation_of(tmp_path, {"a|b": walk(5, 0.2), "c": walk(5, 0.4)}, scene="my_*scene*"))
    assert r"# my\_\*scene\*" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "| **0.200** |" in rows[2]
    assert "abc123" in text
    assert "order of magnitude" in text


def test_not_localized_is_shown_as_infinite_and_explained(tmp_path: Path) -> None:
    half = Poses.concatenate([walk(5)[:2], Poses.missing(3)])
    text = markdown(evaluation_of(tmp_path, {"a": half, "b": walk(5, 0.2)}))
    assert "∞" in text
    assert "was not localized counts as" in text
    assert "was not localized counts as" not in markdown(evaluation_of(tmp_path, {"b": walk(5, 0.2)}))


def test_queries_are_put_in_order_of_walk_and_index_and_broken_at_gaps() -> None:
    frames = frames_of(walk(6), Path(), "test", ["b", "a", "a", "a", "a", "b"])
    indices = np.array([7, 3, 1, 2, 60, 6])
    time = timeline(
        Frames(frames.images, frames.names, frames.sequences, indices, frames.splits, frames.cameras, frames.poses)
    )
    assert time.rows.tolist() == [2, 3, 1, 4, 5, 0]
    assert time.breaks.tolist() == [3, 4]
    assert np.all(np.diff(time.places) > 0)
    assert [name for name, _ in time.starts] == ["a", "b"]
    broken = time.broken(np.arange(6.0))
    assert np.flatnonzero(np.isnan(broken)).tolist() == [3, 5]
    np.testing.assert_array_equal(broken[~np.isnan(broken)], np.arange(6))


def test_one_walk_keeps_its_frame_numbers_unless_they_are_time_stamps() -> None:
    frames = frames_of(walk(3), Path(), "test")
    numbers = [10, 11, 13]
    columns = (frames.splits, frames.cameras, frames.poses)
    assert timeline(Frames(frames.images, frames.names, frames.sequences, numbers, *columns)).places.tolist() == numbers
    stamps = [10**15, 2 * 10**15, 5 * 10**15]
    assert timeline(Frames(frames.images, frames.names, frames.sequences, stamps, *columns)).places.tolist() == [0, 1, 2]


def test_a_sample_is_even_and_keeps_the_ends() -> None:
    assert even_sample(5, 10).tolist() == [0, 1, 2, 3, 4]
    assert even_sample(101, 3).tolist() == [0, 50, 100]


def test_extremes_are_spread_over_time_and_never_in_both() -> None:
    frames = frames_of(walk(200), Path(), "test")
    position = np.linspace(0.01, 1, 200)
    position[0] = np.inf
    rotation = np.full(200, 5.0)
    rotation[0] = 180
    worst, best = extremes(position, rotation, frames, 3)
    assert worst == [0, 199, 195]
    assert best == [1, 5, 9]
    few = frames_of(walk(3), Path(), "test")
    worst, best = extremes(np.array([1.0, 2.0, 3.0]), np.zeros(3), few, 4)
    assert (worst, best) == ([2, 1], [0])


def test_the_page_stands_alone_and_is_well_formed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("test", 30), ("train", 12)):
        (tmp_path / split).mkdir()
        for row in range(count):
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"{row:03d}.png")
    lost = Poses.concatenate([walk(30, 0.5)[:20], Poses.missing(10)])
    evaluation = evaluation_of(tmp_path, {"bdi:k=25": walk(30, 0.1), "irpnet": lost})
    write_page(evaluation, tmp_path / "reports/page.html", quiet=True)
    text = (tmp_path / "reports/page.html").read_text()
    found = Checker(text)
    assert not found.open
    assert len(found.ids) == len(set(found.ids))
    assert len(found.images) == 2 * 8 * (1 + 3)
    assert all(source.startswith("data:image/jpeg;base64,") for source in found.images)
    outside = (
        re.findall(r"""(?:src|href)=["'](?!data:|#)[^"']*""", text)
        + re.findall(r"url\((?!#)", text)
        + re.findall("@import", text)
    )
    assert not outside
    for expected in ("bdi:k=25", "abc123", "densevlad", "exact", "order of magnitude", "not localized", "0.875 · "):
        assert expected in text
    assert found.tags.count("section") == 2


def test_names_cannot_inject_markup(tmp_path: Path) -> None:
    nasty = '<script>alert("x")</script>&$scene'
    evaluation = evaluation_of(tmp_path, {nasty: walk(5, 0.1), "b": walk(5, 0.2)}, scene=nasty)
    text = render_page(evaluation, quiet=True)
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert") >= 4
    assert not Checker(text).open


def test_walk_names_with_markup_and_dollars_are_drawn_as_they_are(tmp_path: Path) -> None:
    true = walk(8)
    queries = frames_of(true, tmp_path, "test", ["a$^$<b>"] * 4 + ["z"] * 4)
    text = render_page(Evaluation("toy", "exact", "test", queries, {"m": result(true, true)}), quiet=True)
    assert "a$^$&lt;b&gt;" in text
    assert not Checker(text).open


@pytest.mark.parametrize("count", [1, 2, 40])
def test_missing_photos_and_a_method_that_localized_nothing_leave_a_whole_page(tmp_path: Path, count: int) -> None:
    evaluation = evaluation_of(tmp_path, {"lost": Poses.missing(count)})
    text = render_page(evaluation, quiet=True)
    found = Checker(text)
    assert not found.open
    assert not found.images
    assert "photo not found" in text
    assert "no query was localized" in text
    assert "No method localized half of the queries." in text


def test_poses_of_another_tool_have_no_neighbours_and_no_mapping_photos(tmp_path: Path) -> None:
    true = walk(6)
    bare = MethodResult(PoseEstimates.of_poses(true), score_poses(true, true))
    text = render_page(Evaluation("toy", "gt.txt", None, frames_of(true, tmp_path, "test"), {"hloc": bare}), quiet=True)
    assert "most similar" not in text
    assert 'class="cards bare"' in text
    assert "Grey: mapping photos" not in text


def test_a_page_that_would_grow_too_large_leaves_photos_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("test", 60), ("train", 12)):
        (tmp_path / split).mkdir()
        for row in range(count):
            Image.fromarray(rng.integers(0, 255, (160, 160, 3), dtype=np.uint8)).save(tmp_path / split / f"{row:03d}.png")
    true = walk(600)
    noisy = Poses(true.centers_m + rng.normal(0, 0.2, (600, 3)), true.world_from_cam_wxyz)
    evaluation = evaluation_of(tmp_path, {"a": noisy, "b": noisy})
    text = render_page(evaluation, quiet=True, max_bytes=1_500_000)
    assert "left out to keep the page small" in text
    assert 800_000 < len(text.encode()) < 1_500_000


def test_more_methods_show_fewer_queries_each() -> None:
    assert [cards_each(methods) for methods in (1, 10, 20, 100)] == [4, 4, 2, 1]


def test_thumbnails_stop_when_the_budget_is_spent(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), "red").save(tmp_path / "a.jpg")
    thumbnails = Thumbnails(budget=10_000)
    element = thumbnails.element(tmp_path / "a.jpg", 'a"b.jpg')
    assert 'alt="a&quot;b.jpg"' in element
    spent = 10_000 - thumbnails.budget
    assert 0 < spent < 5_000
    thumbnails.budget = spent - 1
    assert "left out" in thumbnails.element(tmp_path / "a.jpg", "a")
    (tmp_path / "bad.jpg").write_bytes(b"no image")
    assert "photo unreadable" in thumbnails.element(tmp_path / "bad.jpg", "b")
