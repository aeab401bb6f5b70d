"""Queries worth looking at, as HTML: the photo, its errors, and the mapping photos that resemble it most."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from irploc.evaluation import Evaluation, MethodResult
from irploc.geometry.poses import pose_errors
from irploc.report.order import extremes
from irploc.report.photos import Thumbnails

NEIGHBOURS = 5
_MOST_EACH, _PHOTOS = 4, 480
_RANKING = "Ranked by position plus rotation error, each in units of the method's median; never two from the same moment."
_NEIGHBOURS_WORDS = (
    " Beside each query: the mapping photos most similar to it, their similarity, and how far they are from the query's "
    "true position and rotation."
)


def cards_each(methods: int) -> int:
    """How many worst and how many best queries a method shows, so that the page stays small with many methods."""
    return max(1, min(_MOST_EACH, _PHOTOS // (2 * (1 + NEIGHBOURS) * max(methods, 1))))


def query_cards(evaluation: Evaluation, method: str, each: int, thumbnails: Thumbnails) -> str:
    """The worst and the best queries of one method."""
    result = evaluation.results[method]
    position_m, rotation_deg = pose_errors(result.estimates.poses, evaluation.queries.poses)
    worst, best = extremes(position_m, rotation_deg, evaluation.queries, each)
    bare = "" if _has_neighbours(evaluation, result) else " bare"
    parts = [f'<p class="quiet">{_RANKING}{_NEIGHBOURS_WORDS if not bare else ""}</p>']
    for title, rows in (("Worst queries", worst), ("Best queries", best)):
        cards = [_card(evaluation, result, row, position_m[row], rotation_deg[row], thumbnails) for row in rows]
        if cards:
            parts.append(f'<h3>{title}</h3>\n<div class="cards{bare}">{"".join(cards)}</div>')
    return "\n".join(parts)


def _card(
    evaluation: Evaluation, result: MethodResult, row: int, metres: float, degrees: float, thumbnails: Thumbnails
) -> str:
    name, path = evaluation.queries.names[row], evaluation.queries.images[row]
    verdict = f"<b>{_length(metres)}</b>, <b>{degrees:.1f}°</b> off" if math.isfinite(metres) else "<b>not localized</b>"
    status = result.estimates.status[row]
    if math.isfinite(metres) and status != "ok":
        verdict += f" ({escape(status.replace('_', ' '))})"
    words = f"{verdict}<br>{_announced(result, row)}<span>{escape(name)}</span>"
    figure = _figure("query", thumbnails.element(path, name), words)
    if not _has_neighbours(evaluation, result):
        return f'<article class="card">{figure}</article>'
    neighbours = _neighbours(evaluation, result, row, thumbnails)
    return f'<article class="card">{figure}<div class="neighbours">{neighbours}</div></article>'


def _announced(result: MethodResult, row: int) -> str:
    """What the method itself says of its answer; nothing where it is not calibrated."""
    answers = result.estimates
    if math.isnan(answers.confidence[row]):
        return ""
    expected = ""
    if math.isfinite(answers.position_m[row]):
        expected = f"<br>expected {_length(answers.position_m[row])}, {answers.rotation_deg[row]:.1f}°"
    return f"confidence {answers.confidence[row]:.2f}{expected}<br>"


def _has_neighbours(evaluation: Evaluation, result: MethodResult) -> bool:
    return evaluation.mapping is not None and result.estimates.neighbours.rows.shape[1] > 0


def _neighbours(evaluation: Evaluation, result: MethodResult, row: int, thumbnails: Thumbnails) -> str:
    mapping, neighbours = evaluation.mapping, result.estimates.neighbours
    if mapping is None:
        return ""
    rows = neighbours.rows[row, :NEIGHBOURS]
    true = evaluation.queries.poses[np.full(len(rows), row)]
    metres, degrees = pose_errors(mapping.poses[rows], true)
    figures = []
    for place, photo in enumerate(rows.tolist()):
        facts = f"{neighbours.similarities[row, place]:.3f} · {_length(metres[place])} · {degrees[place]:.0f}°"
        name = mapping.names[photo]
        figures.append(
            _figure("neighbour", thumbnails.element(mapping.images[photo], name), f"{facts}<br><span>{escape(name)}</span>")
        )
    return "".join(figures)


def _figure(kind: str, picture: str, caption: str) -> str:
    return f'<figure class="{kind}">{picture}<figcaption>{caption}</figcaption></figure>'


def _length(metres: float) -> str:
    if metres < 1:
        return f"{100 * metres:.1f} cm"
    return f"{metres:.2f} m" if metres < 100 else f"{metres:.0f} m"
