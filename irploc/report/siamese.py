"""The Siamese paper's tables and figures with published rows beside ours: Markdown, CSV and one HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from irploc.evaluation import published_siamese as published
from irploc.files import write_text
from irploc.geometry.poses import Poses
from irploc.report import plots
from irploc.report.plain import Picture, Table, as_html, as_markdown
from irploc.scene import Frames

TITLE = "Siamese localization by iterative relative pose"
_OURS = "irploc "


@dataclass(frozen=True)
class Measured:
    """Errors (N,) of N photos, in metres and degrees."""

    position_m: np.ndarray
    rotation_deg: np.ndarray

    @property
    def medians(self) -> tuple[float, float]:
        """Metres and degrees."""
        return float(np.median(self.position_m)), float(np.median(self.rotation_deg))

    @property
    def means(self) -> tuple[float, float]:
        """Metres and degrees."""
        return float(np.mean(self.position_m)), float(np.mean(self.rotation_deg))

    @property
    def rms_m(self) -> float:
        """Root mean square of the position errors."""
        return float(np.sqrt(np.mean(self.position_m**2)))


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one photo: ``encoder`` alone, and ``absolute``, ``iterative`` and ``one shot`` with it."""

    milliseconds: Mapping[str, float]


@dataclass(frozen=True)
class Run:
    """One split of one scene.

    Attributes:
        column: the scene's name.
        split: ``3:1`` … or ``own``.
        mapping, queries: its photos.
        errors, estimated: by method.
        iterations: for at most 0, 1, … iterations, the errors and the number (N,) that each photo took.
        cips: trained with and without -> errors on the ``test`` and on the ``mapping`` photos.
        pairs: correlated ones.
    """

    column: str
    split: str
    mapping: Frames
    queries: Frames
    errors: Mapping[str, Measured]
    estimated: Mapping[str, Poses]
    iterations: Sequence[tuple[Measured, np.ndarray]]
    cips: Mapping[bool, Mapping[str, Measured]]
    pairs: int

    @property
    def title(self) -> str:
        """Scene and split."""
        return f"{self.column} {self.split}"

    def summary(self) -> str:
        """One line: every method's medians."""
        return f"{self.title}: " + ", ".join(f"{name} {_pair(errors.medians)}" for name, errors in self.errors.items())


def write_siamese_benchmark(
    runs: Sequence[Run], timing: Timing | None, missing: Mapping[str, str], facts: str, folder: Path
) -> None:
    """Writes ``siamese.md``, ``siamese.csv`` and ``siamese.html``.

    Args:
        runs: what was measured.
        timing: of one photo.
        missing: scene -> why it was not run.
        facts: one line for readers.
        folder: to write to.
    """
    tables = [_methods(runs, "median"), _methods(runs, "mean"), _rms(runs)]
    tables += [_iterations(run) for run in runs] + [_cips(runs)]
    tables += [_own_data(), _cambridge(runs)]
    if timing is not None:
        tables.append(_times(timing))
    photos = "; ".join(
        f"{run.title}: {len(run.mapping)} mapping, {len(run.queries)} test, {run.pairs} pairs" for run in runs
    )
    notes = [f"Errors in m/°. {facts}.", photos + "."]
    notes += [f"Not run: {name}: {why}." for name, why in missing.items()]
    write_text(folder / "siamese.md", as_markdown(TITLE, tables, notes))
    write_text(folder / "siamese.csv", _csv(runs))
    write_text(folder / "siamese.html", as_html(TITLE, tables, notes, _pictures(runs)))


def _methods(runs: Sequence[Run], kind: str) -> Table:
    rows = tuple((name, *(_pair(getattr(run.errors[name], f"{kind}s")) for run in runs)) for name in runs[0].errors)
    return Table(f"All methods, {kind} errors (the protocol of Table 3)", ("method", *(run.title for run in runs)), rows)


def _rms(runs: Sequence[Run]) -> Table:
    rows = tuple((name, *(f"{run.errors[name].rms_m:.4f}" for run in runs)) for name in runs[0].errors)
    return Table("All methods, root mean square of the position errors, m", ("method", *(run.title for run in runs)), rows)


def _iterations(run: Run) -> Table:
    most = len(run.iterations) - 1
    rows = []
    for limit, (errors, taken) in enumerate(run.iterations):
        shares = [f"{100 * np.mean(taken == count):.0f} %" if count <= limit else "" for count in range(1, most + 1)]
        theirs = published.ITERATIONS.get(limit)
        rows.append((str(limit), *shares, _pair(errors.medians), _pair(errors.means), _pair(theirs[:2]) if theirs else ""))
    header = ("iterations at most", *(f"took {count}" for count in range(1, most + 1)), "median", "mean", "paper, its data")
    return Table(f"Iterations (Table 4), {run.title}", header, tuple(rows))


def _cips(runs: Sequence[Run]) -> Table:
    rows = tuple(
        (run.title, *(_pair(run.cips[cips][photos].medians) for photos in ("test", "mapping") for cips in (True, False)))
        for run in runs
    )
    header = ("split", "test, CIPS", "test, any pairs", "mapping, CIPS", "mapping, any pairs")
    title = "With and without correlated pairs, median errors (Figure 9); test photos iterative, mapping photos from another"
    return Table(title, header, rows)


def _own_data() -> Table:
    rows = tuple((name, *map(_pair, row)) for name, row in published.OWN_DATA.items())
    return Table("Published: Table 3, on data of the authors, mean errors", ("method", *published.RATIOS), rows)


def _cambridge(runs: Sequence[Run]) -> Table:
    columns = published.CAMBRIDGE_SCENES
    rows = [(name, *map(_pair, row)) for name, row in published.CAMBRIDGE.items()]
    ours = {run.column: run for run in runs if run.column in columns and run.split == "own"}
    if ours:
        for method in runs[0].errors:
            for kind in ("median", "root mean square/mean"):
                cells = [_cell(ours[name].errors[method], kind) if name in ours else "-" for name in columns]
                rows.append((f"{_OURS}{method}, {kind}", *cells))
    return Table(
        "Cambridge Landmarks (Table 2; root mean square and mean, others medians)", ("method", *columns), tuple(rows)
    )


def _cell(errors: Measured, kind: str) -> str:
    return _pair(errors.medians) if kind == "median" else _pair((errors.rms_m, errors.means[1]))


def _times(timing: Timing) -> Table:
    encoder = timing.milliseconds["encoder"]
    rows = [(name, f"{value:.1f}", f"{value / encoder:.2f}") for name, value in timing.milliseconds.items()]
    theirs = published.MILLISECONDS
    rows += [(f"{name}, published", str(value), "") for name, value in theirs.items()]
    return Table("Milliseconds for one photo (Table 5), encoding included", ("", "ms", "of the encoder's"), tuple(rows))


def _pictures(runs: Sequence[Run]) -> list[Picture]:
    """Figures 6 to 9."""
    pictures = []
    for number, run in enumerate(runs):
        pictures.append(_curves(f"{run.title}: test photos (Figure 8)", run.errors, f"all-{number}"))
        four = {
            f"{photos} photos, {'CIPS' if cips else 'any pairs'}": run.cips[cips][photos]
            for photos in ("test", "mapping")
            for cips in (True, False)
        }
        pictures.append(_curves(f"{run.title}: with and without CIPS (Figure 9)", four, f"cips-{number}", _MAPPING_NOTE))
        last = list(run.errors)[-1]
        drawn, said = plots.top_view(run.estimated[last], run.queries, run.mapping, len(run.errors) - 1, f"top-{number}")
        pictures.append(Picture(f"{run.title}: where {last} places the test photos (Figures 6 and 7)", drawn, said))
    return pictures


def _curves(title: str, errors: Mapping[str, Measured], name: str, caption: str = "") -> Picture:
    """Cumulative errors, a curve for each name."""
    drawn = [
        plots.cumulative_curves([getattr(each, kind) for each in errors.values()], unit, (), f"{name}-{kind}")
        for kind, unit in _KINDS
    ]
    names = tuple((each, plots.colour_of(row)) for row, each in enumerate(errors))
    return Picture(title, "".join(drawn), caption, names)


_MAPPING_NOTE = "Test photos: iterative. Mapping photos: from the most similar other mapping photo."
_KINDS = (("position_m", "m"), ("rotation_deg", "°"))


def _pair(numbers: tuple[float, float] | None) -> str:
    return "-" if numbers is None else f"{numbers[0]:.4f}/{numbers[1]:.2f}" if numbers[0] < 0.1 else _coarse(numbers)


def _coarse(numbers: tuple[float, float]) -> str:
    return f"{numbers[0]:.3f}/{numbers[1]:.2f}"


def _csv(runs: Sequence[Run]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    kinds = ("median_position_m", "median_rotation_deg", "mean_position_m", "mean_rotation_deg", "rms_position_m")
    writer.writerow(("scene", "split", "method", *kinds))
    for run in runs:
        for name, errors in run.errors.items():
            numbers = [repr(value) for value in (*errors.medians, *errors.means, errors.rms_m)]
            writer.writerow((run.column, run.split, name, *numbers))
    return stream.getvalue()
