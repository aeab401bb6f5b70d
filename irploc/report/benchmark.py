"""Tables over several scenes, with published rows beside ours: Markdown, CSV and one HTML page."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from irploc.evaluation.published import NOT_RANKED, PUBLISHED, rank, share_of_medium_accuracy
from irploc.files import write_text
from irploc.report.plain import Table, as_html, as_markdown
from irploc.report.table import CONTEXT_NOTE

Cell = tuple[float, float]
OURS = "irploc "


@dataclass(frozen=True)
class SceneResult:
    """One scene: its column and dataset, a name for files, method -> (median metres, median degrees) by seed, and facts."""

    column: str
    dataset: str | None
    slug: str
    medians: Mapping[str, tuple[Cell, ...]]
    facts: Mapping[str, str]

    def summary(self) -> str:
        """One line: every method's medians, over the seeds."""
        return ", ".join(f"{method} {_numbers(_middle(cells))}" for method, cells in self.medians.items())


def write_benchmark(results: Sequence[SceneResult], absent: Mapping[str, str], settings: str, folder: Path) -> None:
    """Writes ``benchmark.md``, ``benchmark.csv`` and ``benchmark.html``.

    Args:
        results: of the scenes that were run.
        absent: scene -> why it was not.
        settings: one line for readers.
        folder: to write to.
    """
    tables = [_facts(results)] if results else []
    for dataset in dict.fromkeys(result.dataset for result in results):
        tables += _tables_of(dataset, [result for result in results if result.dataset == dataset])
    notes = [
        f"Medians over the test photos; ours: {settings}, the median over the seeds (smallest to largest).",
        CONTEXT_NOTE,
    ]
    notes += [f"Not run: {name}: {why}." for name, why in absent.items()]
    write_text(folder / "benchmark.md", as_markdown("Benchmark", tables, notes))
    write_text(folder / "benchmark.csv", _csv(results))
    write_text(folder / "benchmark.html", as_html("Benchmark", tables, notes))


def _facts(results: Sequence[SceneResult]) -> Table:
    names = tuple(results[0].facts)
    return Table("Scenes", ("scene", *names), tuple((result.column, *result.facts.values()) for result in results))


def _tables_of(dataset: str | None, results: Sequence[SceneResult]) -> list[Table]:
    columns = tuple(result.column for result in results)
    ours = {f"{OURS}{method}": [result.medians[method] for result in results] for method in results[0].medians}
    middles = {method: [_middle(cells) for cells in row] for method, row in ours.items()}
    published = PUBLISHED.get(dataset or "")
    theirs: dict[str, list[Cell]] = {}
    if published is not None and set(columns) <= set(published.scenes):
        places = [published.scenes.index(column) for column in columns]
        theirs = {method: [row[place] for place in places] for method, row in published.medians.items()}
    title = f"{dataset or 'own scenes'}: medians, m/°" + (", published rows as printed" if theirs else "")
    rows = [(method, *(_numbers(cell, 2) for cell in row), _average(row, 2)) for method, row in theirs.items()]
    rows += [(method, *map(_spread, row), _average(middles[method])) for method, row in ours.items()]
    tables = [Table(title, ("method", *columns, "average"), tuple(rows))]
    everyone: dict[str, list[Cell]] = {**theirs, **middles}
    tables.append(_ranks(dataset, columns, everyone, published.printed_ranks if theirs and published else {}))
    shares = tuple((method, f"{100 * share_of_medium_accuracy(row):.1f} %") for method, row in everyone.items())
    tables.append(Table(f"{dataset or 'own scenes'}: share of medians under 2 m and 5°", ("method", "share"), shares))
    return tables


def _ranks(
    dataset: str | None, columns: tuple[str, ...], medians: Mapping[str, list[Cell]], printed: Mapping[str, int]
) -> Table:
    found = rank({name: row for name, row in medians.items() if name not in NOT_RANKED})
    theirs = rank({name: row for name, row in medians.items() if name in printed}) if printed else {}
    rows = []
    for name, ranks in sorted(found.items(), key=lambda item: item[1].final):
        cells = [f"{position}, {orientation}" for position, orientation in ranks.by_scene]
        average = f"{ranks.mean_position:.2f}, {ranks.mean_orientation:.2f}"
        compared = (str(theirs[name].final) if name in theirs else "", str(printed.get(name, ""))) if printed else ()
        rows.append((name, *cells, average, str(ranks.final), *compared))
    further = ("among the published", "as printed, all scenes") if printed else ()
    header = ("method", *columns, "mean", "final rank", *further)
    return Table(f"{dataset or 'own scenes'}: ranks by position, orientation", header, tuple(rows))


def _middle(cells: Sequence[Cell]) -> Cell:
    return statistics.median(metres for metres, _ in cells), statistics.median(degrees for _, degrees in cells)


def _numbers(cell: Cell, digits: int = 3) -> str:
    return f"{cell[0]:.{digits}f}/{cell[1]:.2f}"


def _spread(cells: Sequence[Cell]) -> str:
    if len(set(cells)) == 1:
        return _numbers(cells[0])
    metres, degrees = [cell[0] for cell in cells], [cell[1] for cell in cells]
    return f"{_numbers(_middle(cells))} ({min(metres):.3f}–{max(metres):.3f}/{min(degrees):.2f}–{max(degrees):.2f})"


def _average(cells: Sequence[Cell], digits: int = 3) -> str:
    means = statistics.fmean(metres for metres, _ in cells), statistics.fmean(degrees for _, degrees in cells)
    return _numbers(means, digits)


def _csv(results: Sequence[SceneResult]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("dataset", "scene", "method", "run", "median_position_m", "median_rotation_deg"))
    for result in results:
        for method, cells in result.medians.items():
            for run, (metres, degrees) in enumerate(cells):
                writer.writerow((result.dataset or "", result.column, method, run, repr(metres), repr(degrees)))
    return stream.getvalue()
