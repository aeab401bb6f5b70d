"""One self-contained HTML page of an evaluation: no network, photos and plots inside, under ``MAX_BYTES``."""

from __future__ import annotations

import datetime
import math
from html import escape
from pathlib import Path
from string import Template

from irploc.evaluation import RECALL_THRESHOLDS, Evaluation, calibration_curve, kept_curve
from irploc.files import write_text
from irploc.geometry.poses import pose_errors
from irploc.progress import progress
from irploc.report import plots
from irploc.report.cards import cards_each, query_cards
from irploc.report.photos import Thumbnails
from irploc.report.style import CSS, SCRIPT
from irploc.report.table import (
    AREA_NOTE,
    CONFIDENCE_NOTE,
    CONTEXT_NOTE,
    FLOOR_NOTE,
    POSITION,
    ROTATION,
    Table,
    confidence_table,
    floor_table,
    notes,
    summary_table,
)

MAX_BYTES = 8_000_000
_TEXT_BYTES = 500_000  # room for tables, curves and captions
_COLUMNS_NOTE = (
    "Good: within 0.25 m and 5°. Announced: the mean confidence. Calibration error: how far the two are apart, on average "
    "over ten groups of like confidence. Expected within ×2: answers whose position error is between half and twice the one "
    "expected. A dash: the method has no confidence, or it refused half of the photos."
)
_KEPT_NOTE = (
    "Each curve: the median error of the photos kept; a confidence that tells good answers from bad rises to the right."
)
_DIAGRAM_NOTE = (
    "Each dot: a tenth of the photos, grouped by confidence. On the dashed line as many answers are good as announced; "
    "below it the method is too sure of itself, above it too modest."
)
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>$title</title>
<style>$css</style>
</head>
<body><main>
<h1>$scene</h1>
<p class="quiet">$facts</p>
$headline
<h2>Methods side by side</h2>
<div class="scroll">$table</div>
<div class="notes">$notes</div>
$chips
<h2>How large are the errors?</h2>
<div class="pair">$curves</div>
<p class="quiet">Each curve: the share of queries with at most this error. Dotted lines: the thresholds of the table.</p>
$floor
$confidence
$panels
<h2>Where the numbers come from</h2>
<dl>$provenance</dl>
</main>
<script>$script</script>
</body>
</html>
""")


def write_page(evaluation: Evaluation, path: Path, quiet: bool = False) -> None:
    """Writes ``render_page`` to a file, making its folder."""
    text = render_page(evaluation, quiet)
    write_text(path, text)


def render_page(evaluation: Evaluation, quiet: bool = False, max_bytes: int = MAX_BYTES) -> str:
    """The page as text. Photos that are missing leave a placeholder; so do those that do not fit into ``max_bytes``."""
    panels, drawn = [], 0
    methods = list(evaluation.results)
    figures = []
    with progress("writing the report", len(methods), "methods", quiet) as bar:
        for row, method in enumerate(methods):
            figures.append(_figures(evaluation, row, method))
            drawn += len(figures[-1])
        thumbnails = Thumbnails(budget=max(0, max_bytes - _TEXT_BYTES - drawn))
        for row, method in enumerate(methods):
            cards = query_cards(evaluation, method, cards_each(len(methods)), thumbnails)
            panels.append(_panel(row, method, figures[row], cards, _status_counts(evaluation, method)))
            bar.advance()
    return _PAGE.substitute(
        title=escape(f"{evaluation.scene}: localization report"),
        css=CSS,
        scene=escape(evaluation.scene),
        facts=escape(_facts(evaluation)),
        headline=_headline(evaluation),
        table=_table(summary_table(evaluation)),
        notes="".join(f"<p>{escape(note)}</p>" for note in [*notes(evaluation), CONTEXT_NOTE]),
        curves=_curves(evaluation),
        floor=_floor(evaluation),
        confidence=_confidence(evaluation),
        chips=_chips(evaluation),
        panels="\n".join(panels),
        provenance=_provenance(evaluation),
        script=SCRIPT,
    )


def _facts(evaluation: Evaluation) -> str:
    queries = f"{len(evaluation.queries)} query photos"
    mapped = f"{evaluation.n_train} mapping photos" if evaluation.n_train is not None else None
    split = f"{evaluation.split} split" if evaluation.split else None
    return " · ".join(filter(None, [queries, mapped, split, f"ground truth {evaluation.ground_truth}"]))


def _headline(evaluation: Evaluation) -> str:
    """The best median errors in one sentence, with the digits of the table."""
    methods = list(evaluation.results)
    results = list(evaluation.results.values())
    scores = [result.scores for result in results]
    near = min(range(len(scores)), key=lambda row: scores[row].median_position_m)
    turned = min(range(len(scores)), key=lambda row: scores[row].median_rotation_deg)
    if not math.isfinite(scores[near].median_position_m):
        return '<p class="lead">No method localized half of the queries.</p>'
    metres, degrees = POSITION.cells(results)[near], ROTATION.cells(results)[turned]
    if near == turned:
        return (
            f'<p class="lead">Best median errors: <b>{metres} m</b> and <b>{degrees}°</b> with {escape(methods[near])}.</p>'
        )
    position = f"<b>{metres} m</b> with {escape(methods[near])}"
    return f'<p class="lead">Best median errors: {position}, <b>{degrees}°</b> with {escape(methods[turned])}.</p>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(first)}<br>{escape(second)}</th>' for first, second in table.headings)
    body = []
    for row, cells in enumerate(table.rows):
        columns = [f"<td>{_swatch(row)}{escape(cells[0])}</td>"]
        for column, cell in enumerate(cells[1:], start=1):
            best = ' class="best"' if (row, column) in table.best else ""
            columns.append(f"<td{best}>{escape(cell)}</td>")
        body.append(f"<tr>{''.join(columns)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _swatch(row: int) -> str:
    """A short piece of the method's line, as the plots draw it."""
    dash = {"-": "", "--": "6 3", ":": "2 2", "-.": "7 2 2 2"}[plots.dash_of(row)]
    return (
        '<svg class="swatch" width="22" height="8" aria-hidden="true"><line x1="0" y1="4" x2="22" y2="4" '
        f'stroke="{plots.colour_of(row)}" stroke-width="3" stroke-dasharray="{dash}"/></svg>'
    )


def _curves(evaluation: Evaluation) -> str:
    errors = [pose_errors(result.estimates.poses, evaluation.queries.poses) for result in evaluation.results.values()]
    position = [metres for metres, _ in errors]
    rotation = [degrees.copy() for _, degrees in errors]
    for metres, degrees in zip(position, rotation, strict=True):
        degrees[~(metres < math.inf)] = math.inf  # a curve of what was localized ends below 100 %
    marks_m = sorted({metres for metres, _ in RECALL_THRESHOLDS.values()})
    marks_deg = sorted({degrees for _, degrees in RECALL_THRESHOLDS.values()})
    return _plot(plots.cumulative_curves(position, "m", marks_m, "position")) + _plot(
        plots.cumulative_curves(rotation, "°", marks_deg, "rotation")
    )


def _confidence(evaluation: Evaluation) -> str:
    """The section on what the confidence is worth; nothing where no method has any."""
    table = confidence_table(evaluation)
    if table is None:
        return ""
    answers, true = [result.estimates for result in evaluation.results.values()], evaluation.queries.poses
    kept = [kept_curve(estimates, true) for estimates in answers]
    curves = _plot(plots.kept_curves(kept, "m", "kept-m")) + _plot(plots.kept_curves(kept, "°", "kept-deg"))
    diagram = _plot(plots.reliability_curves([calibration_curve(estimates, true) for estimates in answers], "reliability"))
    return f"""<h2>Confidence</h2>
<p>{CONFIDENCE_NOTE}</p>
<div class="scroll">{_table(table)}</div>
<div class="notes"><p>{_COLUMNS_NOTE} {AREA_NOTE}</p></div>
<h3>Keeping the answers a method is sure of</h3>
<div class="pair">{curves}</div>
<p class="quiet">{_KEPT_NOTE} {escape(_refused(evaluation))}</p>
<h3>Does the confidence come true?</h3>
<div class="pair">{diagram}<p class="quiet">{_DIAGRAM_NOTE}</p></div>"""


def _floor(evaluation: Evaluation) -> str:
    """The section on what the floor map changes; nothing without one."""
    table = floor_table(evaluation)
    if table is None:
        return ""
    return f"""<h2>On the floor map</h2>
<p>{FLOOR_NOTE}</p>
<div class="scroll">{_table(table)}</div>"""


def _refused(evaluation: Evaluation) -> str:
    """A sentence: how many photos each calibrated method refused."""
    known = {method: result.scores for method, result in evaluation.results.items() if result.reliability is not None}
    counts = [f"{method} {scores.n_not_localized}" for method, scores in known.items() if scores.n_not_localized]
    if not counts:
        return "No photo was refused."
    return (
        f"Photos refused, of {len(evaluation.queries)}: {', '.join(counts)}. They have confidence 0 and count as infinitely "
        "far away; a curve ends where they are half of the photos kept."
    )


def _figures(evaluation: Evaluation, row: int, method: str) -> str:
    poses = evaluation.results[method].estimates.poses
    position_m, rotation_deg = pose_errors(poses, evaluation.queries.poses)
    view, caption = plots.top_view(poses, evaluation.queries, evaluation.mapping, row, f"map{row}")
    time = plots.errors_over_time(position_m, rotation_deg, evaluation.queries, row, f"time{row}")
    along = "Errors along the query walk; dashed: median."
    floor = _floor_figure(evaluation, row, method)
    return f'<div class="pair">{_plot(view, caption)}{_plot(time, along)}{floor}</div>'


def _floor_figure(evaluation: Evaluation, row: int, method: str) -> str:
    """The estimates on the floor map; nothing without one."""
    result = evaluation.results[method]
    if evaluation.floor_map is None or result.corrected is None:
        return ""
    return _plot(*plots.floor_view(result.estimates.poses, result.corrected, evaluation.floor_map, row, f"floor{row}"))


def _plot(svg: str, caption: str = "") -> str:
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="plot">{svg}{words}</figure>'


def _chips(evaluation: Evaluation) -> str:
    methods = list(evaluation.results)
    first = min(range(len(methods)), key=lambda row: evaluation.results[methods[row]].scores.median_position_m)
    if len(methods) < 2:
        return ""
    buttons = "".join(
        f'<button type="button" data-method="{row}">{_swatch(row)}{escape(method)}</button>'
        for row, method in enumerate(methods)
    )
    return f'<nav class="chips" data-first="{first}" aria-label="Method" hidden>{buttons}</nav>'


def _panel(row: int, method: str, figures: str, cards: str, statuses: str) -> str:
    return f'<section class="panel" data-method="{row}"><h2>{escape(method)}</h2>{statuses}{figures}{cards}</section>'


def _status_counts(evaluation: Evaluation, method: str) -> str:
    statuses = evaluation.results[method].estimates.status
    unusual = {status: statuses.count(status) for status in dict.fromkeys(statuses) if status != "ok"}
    if not unusual:
        return ""
    counts = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in unusual.items())
    return f'<p class="quiet">Of {len(statuses)} queries: {escape(counts)}.</p>'


def _provenance(evaluation: Evaluation) -> str:
    facts = {
        "scene": evaluation.scene,
        "ground truth": evaluation.ground_truth,
        "split": evaluation.split or "as listed in the ground truth",
        "encoder": evaluation.encoder or "unknown (poses read from files)",
        **evaluation.provenance,
        "written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
