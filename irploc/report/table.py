"""The summary table, once, for the terminal, Markdown and the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from irploc.evaluation import RECALL_THRESHOLDS, Corrected, Evaluation, MethodResult, Reliability

TIME_NOTE = "Time is the method's own, from stored embeddings; encoding the photo comes on top."
MISSING_NOTE = (
    "A query that was not localized counts as infinitely far away and turned by 180 degrees; "
    "one of them makes the mean position error infinite."
)
APPROXIMATE_NOTE = (
    "Approximate: a method of accurate poses found none, and gives that of the method it starts from; these count in its "
    "figures with their true errors."
)
CONTEXT_NOTE = (
    "For scale: methods that match local features or regress scene coordinates are about an order of magnitude more "
    "accurate than poses interpolated or regressed from whole-image embeddings. Published median errors, averaged over "
    "7-Scenes with its original poses, as later papers and the tools' own pages table them: ACE (Brachmann et al., CVPR "
    "2023) 0.028 m, 0.93°; hloc with SuperPoint and SuperGlue (Sarlin et al., CVPR 2019 and 2020) 0.03 m, 1.09°. "
    "They were not measured here."
)
CONFIDENCE_NOTE = (
    "Confidence is the chance, as a method announces it, that its answer is within 0.25 m and 5° of the truth. It was "
    "learned on mapping photos held out of the map, never on these queries."
)
AREA_NOTE = (
    "Error kept: the area under the curve of median error against share of photos kept, the most confident first; 100 % "
    "is what keeping photos at random would leave, and best kept what keeping them in order of their true errors would."
)
FLOOR_NOTE = (
    "Positions that are not walkable are moved to the nearest walkable place, heights and rotations kept; those farther "
    "away than the map allows count as not localized."
)
UNKNOWN = "–"


@dataclass(frozen=True)
class Column:
    """One column of the table: its heading in two lines and what it shows of a ``MethodResult``."""

    heading: tuple[str, str]
    value: Callable[[MethodResult], float | None]
    higher_is_better: bool = False
    percent: bool = False
    fine: bool = False  # one more digit where values are small
    secondary: bool = False  # goes first where there is little room
    marked: bool = True  # whether the best value stands out

    def cells(self, results: list[MethodResult]) -> list[str]:
        """The column as text, all with the same number of decimals."""
        values = [self.value(result) for result in results]
        digits = self._digits(values, results)
        return [_text(value, 100.0 if self.percent else 1.0, digits) for value in values]

    def best(self, results: list[MethodResult]) -> set[int]:
        """The rows that show the best value; none where there is nothing to compare."""
        shown = self.cells(results)
        values = [self.value(result) for result in results]
        finite = [value for value in values if value is not None and math.isfinite(value)]
        if not self.marked or len(results) < 2 or not finite or len(set(shown)) == 1:
            return set()
        best = max(finite) if self.higher_is_better else min(finite)
        mark = shown[values.index(best)]
        return {row for row, text in enumerate(shown) if text == mark}

    def _digits(self, values: list[float | None], results: list[MethodResult]) -> int:
        if self.percent:
            return 1 if max(result.scores.n for result in results) <= 1000 else 2
        finite = [value for value in values if value is not None and math.isfinite(value)]
        limit = 1.0 if self.heading[1] == "°" else 0.1
        base = 3 if self.heading[1] == "m" else 2
        return base + (1 if self.fine and finite and min(finite) < limit else 0)


def _recall_column(name: str) -> Column:
    metres, degrees = RECALL_THRESHOLDS[name]
    distance = f"{100 * metres:g}cm" if metres < 1 else f"{metres:g}m"
    return Column((f"≤{distance}", f"{degrees:g}° %"), lambda r: r.scores.recall[name], higher_is_better=True, percent=True)


def _milliseconds(result: MethodResult) -> float | None:
    seconds = result.scores.seconds_per_image
    return None if seconds is None else 1000 * seconds


def _confidence_column(
    heading: tuple[str, str],
    value: Callable[[Reliability], float | None],
    higher_is_better: bool = False,
    marked: bool = True,
) -> Column:
    def known(result: MethodResult) -> float | None:
        found = None if result.reliability is None else value(result.reliability)
        return found if found is not None and math.isfinite(found) else None

    return Column(heading, known, higher_is_better, percent=True, marked=marked)


def _floor_column(
    heading: tuple[str, str], value: Callable[[Corrected], float | None], marked: bool = False, fine: bool = True
) -> Column:
    def known(result: MethodResult) -> float | None:
        return None if result.corrected is None else value(result.corrected)

    return Column(heading, known, fine=fine, marked=marked)


def _share(area: float, blind: float) -> float | None:
    return area / blind if math.isfinite(blind) and blind > 0 else None


POSITION = Column(("median", "m"), lambda r: r.scores.median_position_m, fine=True)
ROTATION = Column(("median", "°"), lambda r: r.scores.median_rotation_deg, fine=True)
COLUMNS: tuple[Column, ...] = (
    POSITION,
    ROTATION,
    Column(("mean", "m"), lambda r: r.scores.mean_position_m, fine=True, secondary=True),
    Column(("mean", "°"), lambda r: r.scores.mean_rotation_deg, fine=True, secondary=True),
    *(_recall_column(name) for name in RECALL_THRESHOLDS),
    Column(("not loc-", "alized"), lambda r: r.scores.n_not_localized, marked=False),
    Column(("approx-", "imate"), lambda r: r.scores.n_approximate or None, marked=False),
    Column(("ms per", "image"), _milliseconds),
)
CONFIDENCE_COLUMNS: tuple[Column, ...] = (
    _confidence_column(("good", "%"), lambda r: r.good, marked=False),
    _confidence_column(("announced", "%"), lambda r: r.mean_confidence, marked=False),
    _confidence_column(("calibration", "error %"), lambda r: r.calibration_error),
    _confidence_column(("error kept", "(m) %"), lambda r: _share(r.area_m, r.blind_area_m), marked=False),
    _confidence_column(("best kept", "(m) %"), lambda r: _share(r.best_area_m, r.blind_area_m), marked=False),
    _confidence_column(("error kept", "(°) %"), lambda r: _share(r.area_deg, r.blind_area_deg), marked=False),
    _confidence_column(("best kept", "(°) %"), lambda r: _share(r.best_area_deg, r.blind_area_deg), marked=False),
    _confidence_column(("expected", "within ×2 %"), lambda r: r.expected_within_2, higher_is_better=True),
)
FLOOR_COLUMNS: tuple[Column, ...] = (
    _floor_column(("outside", "map"), lambda c: c.n_outside),
    _floor_column(("too", "far"), lambda c: c.n_too_far),
    _floor_column(("moved by", "m"), lambda c: c.to_json()["moved"]["mean_m"]),
    Column(("median", "m"), lambda r: r.scores.median_position_m, fine=True, marked=False),
    _floor_column(("median corr.", "m"), lambda c: c.scores.median_position_m, marked=True),
    Column(("mean", "m"), lambda r: r.scores.mean_position_m, fine=True, marked=False),
    _floor_column(("mean corr.", "m"), lambda c: c.scores.mean_position_m, marked=True),
)


@dataclass(frozen=True)
class Table:
    """Text, ready to be laid out.

    Attributes:
        headings: per column, in two lines; the first is the methods'.
        rows: per method, its name and its cells.
        best: (row, column) of the best values.
        secondary: columns that go first where there is little room.
    """

    headings: list[tuple[str, str]]
    rows: list[list[str]]
    best: set[tuple[int, int]]
    secondary: set[int]


def summary_table(evaluation: Evaluation) -> Table:
    """The methods of an evaluation side by side; columns that nobody knows anything of are left out."""
    return _table(evaluation.results, COLUMNS)


def confidence_table(evaluation: Evaluation) -> Table | None:
    """What the confidence of the methods is worth; None where no method has any."""
    if all(result.reliability is None for result in evaluation.results.values()):
        return None
    return _table(evaluation.results, CONFIDENCE_COLUMNS)


def floor_table(evaluation: Evaluation) -> Table | None:
    """Position errors before and after the answers are moved onto the floor map; None without one."""
    if evaluation.floor_map is None:
        return None
    return _table(evaluation.results, FLOOR_COLUMNS)


def _table(by_method: Mapping[str, MethodResult], columns: tuple[Column, ...]) -> Table:
    results = list(by_method.values())
    headings, rows = [("method", "")], [[method] for method in by_method]
    best, secondary = set(), set()
    for column in columns:
        cells = column.cells(results)
        if all(cell == UNKNOWN for cell in cells):
            continue
        best |= {(row, len(headings)) for row in column.best(results)}
        secondary |= {len(headings)} if column.secondary else set()
        headings.append(column.heading)
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell)
    return Table(headings, rows, best, secondary)


def plain_text(table: Table, width: int | None = None, mark_best: Callable[[str], str] = str) -> str:
    """Aligned columns for terminals, files and pipes.

    Args:
        width: leave out the secondary columns when the table is wider than this many characters.
        mark_best: turns the padded cell of a best value into what is shown, bold for example.
    """
    lines = [[heading[line] for heading in table.headings] for line in (0, 1)] + table.rows
    widths = [max(len(line[column]) for line in lines) for column in range(len(table.headings))]
    shown = list(range(len(widths)))
    if width is not None and sum(widths) + 2 * (len(widths) - 1) > width:
        shown = [column for column in shown if column not in table.secondary]
    return "\n".join(
        "  ".join(
            _padded(line[column], widths[column], column == 0, mark_best if (row, column) in table.best else str)
            for column in shown
        ).rstrip()
        for row, line in enumerate(lines, start=-2)
    )


def _padded(cell: str, width: int, left: bool, mark: Callable[[str], str]) -> str:
    return mark(cell.ljust(width) if left else cell.rjust(width))


def markdown(evaluation: Evaluation) -> str:
    """A Markdown document: what was measured, the tables with the best values bold, and the notes."""
    lines = [
        f"# {_escaped(evaluation.scene)}",
        "",
        _escaped(describe(evaluation)),
        "",
        *_markdown(summary_table(evaluation)),
    ]
    lines += ["", *(f"- {_escaped(note)}" for note in [*notes(evaluation), CONTEXT_NOTE])]
    lines += [f"- {name}: {_escaped(value)}" for name, value in evaluation.provenance.items()]
    floor = floor_table(evaluation)
    if floor:
        lines += ["", "## On the floor map", "", _escaped(FLOOR_NOTE), "", *_markdown(floor)]
    table = confidence_table(evaluation)
    if table:
        lines += ["", "## Confidence", "", _escaped(CONFIDENCE_NOTE), "", *_markdown(table), "", _escaped(AREA_NOTE)]
    return "\n".join(lines) + "\n"


def _markdown(table: Table) -> list[str]:
    headings = [" ".join(filter(None, heading)).replace("- ", "") for heading in table.headings]
    lines = ["| " + " | ".join(headings) + " |", "|---" + "|--:" * (len(headings) - 1) + "|"]
    for row, cells in enumerate(table.rows):
        shown = [f"`{cells[0].replace('|', chr(92) + '|')}`"]
        shown += [f"**{cell}**" if (row, column) in table.best else cell for column, cell in enumerate(cells)][1:]
        lines.append("| " + " | ".join(shown) + " |")
    return lines


def describe(evaluation: Evaluation) -> str:
    """One line: how many queries against what."""
    queries = f"{len(evaluation.queries)} queries" + (f" ({evaluation.split} split)" if evaluation.split else "")
    mapping = "" if evaluation.n_train is None else f", {evaluation.n_train} mapping images"
    encoder = f", encoder {evaluation.encoder}" if evaluation.encoder else ""
    return f"{queries}{mapping}{encoder}, ground truth {evaluation.ground_truth}"


def notes(evaluation: Evaluation) -> list[str]:
    """What a reader must know about the numbers; only what applies."""
    scores = [result.scores for result in evaluation.results.values()]
    found = list(evaluation.notes)
    if any(score.n_not_localized for score in scores):
        found.append(MISSING_NOTE)
    if any(score.n_approximate for score in scores):
        found.append(APPROXIMATE_NOTE)
    if any(score.seconds_per_image is not None for score in scores):
        found.append(TIME_NOTE)
    return found


def _text(value: float | None, factor: float, digits: int) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, int):
        return str(value)
    return f"{factor * value:.{digits}f}" if math.isfinite(value) else "∞"


def _escaped(text: str) -> str:
    """Markdown's special characters made plain."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character)
    return text
