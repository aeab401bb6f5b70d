"""Curves of trainings as PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from toy_runs import CONFIGURATION, ENTRIES, changed, record

from irploc.errors import BadInput
from irploc.report.curves import MOST_RUNS, write_curves
from irploc.report.plots import COLOURS
from irploc.runs import Run


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, in their order."""
    found: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: object, **options: object) -> None:
        found.append(figure)
        save(figure, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def lines(figure: Figure, panel: int) -> list[tuple[list[float], list[float]]]:
    found = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in figure.axes[panel].lines]
    return [(x.tolist(), y.tolist()) for x, y in found if len(x)]


def test_loss_metres_and_degrees_have_a_panel_each_with_the_numbers_of_the_run(tmp_path: Path, drawn: list[Figure]) -> None:
    write_curves([record(tmp_path)], tmp_path / "a.png")
    (figure,) = drawn
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "training loss",
        "position error (m)\nof test photos, median",
        "rotation error (°)\nof test photos, median",
    ]
    assert lines(figure, 0) == [([10, 20, 30], [4.0, 2.0, 1.0])]
    assert lines(figure, 1) == [([10, 20, 30], [0.9, 0.25, 0.5])]
    assert lines(figure, 2) == [([10, 20, 30], [30.0, 9.0, 10.0])]
    assert "finished: 0.500 m, 10.00° after 30 steps" in figure.get_suptitle()


def test_the_file_is_a_picture_with_coloured_curves_on_white(tmp_path: Path) -> None:
    write_curves([record(tmp_path)], tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).reshape(-1, 3)
    blue = np.array([int(COLOURS[0][at : at + 2], 16) for at in (1, 3, 5)])
    assert (pixels == 255).all(axis=1).mean() > 0.8
    assert (pixels == blue).all(axis=1).sum() > 500


def test_losses_by_name_are_told_apart_and_several_runs_show_their_sum(tmp_path: Path, drawn: list[Figure]) -> None:
    named = [{**entry, "loss": {"position": 1.0, "orientation": float(row)}} for row, entry in enumerate(ENTRIES)]
    run = record(tmp_path, entries=named)
    write_curves([run], tmp_path / "a.png")
    legend = drawn[0].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["position", "orientation"]
    write_curves([run, record(tmp_path)], tmp_path / "b.png")
    assert lines(drawn[1], 0) == [([10, 20, 30], [1.0, 2.0, 3.0]), ([10, 20, 30], [4.0, 2.0, 1.0])]
    names = [text.get_text() for text in drawn[1].legends[0].get_texts()]
    assert names[0].startswith(f"{run.name}: 0.500 m, 10.00° after 30 steps")


def test_a_training_without_errors_has_the_loss_alone(tmp_path: Path, drawn: list[Figure]) -> None:
    write_curves([record(tmp_path, entries=[{"step": 1, "loss": -2.0}, {"step": 2, "loss": -3.0}])], tmp_path / "a.png")
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["training loss"]
    assert drawn[0].axes[0].get_yscale() == "linear"
    assert lines(drawn[0], 0) == [([1, 2], [-2.0, -3.0])]


def test_decades_are_shown_on_a_log_scale(tmp_path: Path, drawn: list[Figure]) -> None:
    write_curves([record(tmp_path, entries=[{"step": 1, "loss": 500.0}, {"step": 2, "loss": 0.5}])], tmp_path / "a.png")
    assert drawn[0].axes[0].get_yscale() == "log"


def test_a_place_without_metres_does_not_get_any(tmp_path: Path, drawn: list[Figure]) -> None:
    write_curves([record(tmp_path, changed(data={"units": "arbitrary"}))], tmp_path / "a.png")
    assert drawn[0].axes[1].get_ylabel().startswith("position error (arbitrary)")


def test_one_entry_and_a_name_with_signs_are_drawn(tmp_path: Path) -> None:
    write_curves([record(tmp_path, changed(scene="a$b_{c"), ENTRIES[:1])], tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").width > 500


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    nothing = record(tmp_path, entries=[])
    with pytest.raises(BadInput, match=r"nothing to draw: attic\.irpnet/.* reported no steps"):
        write_curves([nothing], tmp_path / "a.png")
    run = record(tmp_path)
    many = [Run(f"a/{row}", run.folder, CONFIGURATION, run.summary, run.entries) for row in range(MOST_RUNS + 1)]
    with pytest.raises(BadInput, match=f"{MOST_RUNS + 1} runs are too many"):
        write_curves(many, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
