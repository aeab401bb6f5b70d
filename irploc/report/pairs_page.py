"""One self-contained HTML page about the pairs of a scene: counts, settings, accepted and rejected examples side by side."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

import numpy as np

from irploc.files import write_text
from irploc.pairs.candidates import RETRIEVAL, WINDOW
from irploc.pairs.matrix import ACCEPTED, FEW_MATCHES, FEW_POINTS, LITTLE_DEPTH, MEASURES, REASONS, TURNED, PairMatrix
from irploc.provenance import irploc_version
from irploc.report.photos import Thumbnails
from irploc.report.style import CSS
from irploc.scene import Scene

_BUDGET = 4_000_000
_EACH_SIDE = 8
_MEASURE_WORDS = {
    "angle_deg": "angle",
    "point_share": "common points",
    "depth_share": "common depth",
    "orb_share": "matches",
}
_MEASURE_OF = {TURNED: "angle_deg", FEW_POINTS: "point_share", LITTLE_DEPTH: "depth_share", FEW_MATCHES: "orb_share"}
_SETTING_OF = {FEW_POINTS: "min_points", LITTLE_DEPTH: "min_depth", FEW_MATCHES: "min_matches"}
_CSS = """
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 1.6rem; align-items: start; }
.sides > * { min-width: 0; }
.couple { display: grid; grid-template-columns: 1fr 1fr; gap: .5rem; width: 100%; }
.couple + p { margin: 0; width: 100%; font-size: .86rem; }
.verdict { font-weight: 600; }
@media (max-width: 640px) { .sides { grid-template-columns: 1fr; } }
"""
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$css</style>
</head>
<body><main>
<h1>$scene: correlated image pairs</h1>
<p class="quiet">$facts</p>
<p class="lead">$lead</p>
<h2>What became of the candidates</h2>
<div class="scroll"><table><thead><tr><th scope="col">Outcome</th><th scope="col">Pairs</th><th scope="col">Share</th>
<th scope="col">Threshold</th></tr></thead><tbody>$counts</tbody></table></div>
<h2>What each test measured</h2>
<div class="scroll"><table><thead><tr><th scope="col">Test</th><th scope="col">Pairs</th><th scope="col">5 %</th>
<th scope="col">Median</th><th scope="col">95 %</th></tr></thead><tbody>$measured</tbody></table></div>
<div class="notes"><p>Shares are the mean of both directions. 5 % and 95 %: as many pairs have less.</p></div>
<h2>Examples</h2>
<p class="quiet">Of each outcome and test, from the smallest to the largest value measured.</p>
<div class="sides"><section><h3>Accepted</h3><div class="cards">$accepted</div></section>
<section><h3>Rejected</h3><div class="cards">$rejected</div></section></div>
<h2>Settings</h2>
<dl>$settings</dl>
</main></body>
</html>
""")


@dataclass(frozen=True)
class _Group:
    """Candidates with the same outcome, decided by the same test."""

    rows: np.ndarray
    measure: str


def write_pairs_page(found: PairMatrix, scene: Scene, path: Path) -> None:
    """Writes ``render_pairs_page`` to a file, making its folder."""
    write_text(path, render_pairs_page(found, scene))


def render_pairs_page(found: PairMatrix, scene: Scene) -> str:
    """The page as text; photos that are missing leave a placeholder."""
    thumbnails = Thumbnails(budget=_BUDGET)
    images = dict(zip(scene.frames.names, scene.frames.images, strict=True))
    sides = [_cards(found, images, groups, thumbnails) for groups in (_accepted_groups(found), _rejected_groups(found))]
    return _PAGE.substitute(
        title=escape(f"{found.scene}: correlated image pairs"),
        css=CSS + _CSS,
        scene=escape(found.scene),
        facts=escape(_facts(found, scene)),
        lead=_lead(found),
        counts="".join(_count_rows(found)),
        measured="".join(_measured_rows(found)),
        accepted=sides[0] or '<p class="quiet">None.</p>',
        rejected=sides[1] or '<p class="quiet">None.</p>',
        settings=_settings(found, scene),
    )


def spread(values: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` rows, from the smallest to the largest of the values, evenly by rank."""
    order = np.argsort(values, kind="stable")
    chosen = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(np.int64)
    return order[chosen]


def _facts(found: PairMatrix, scene: Scene) -> str:
    sources = found.sources
    by_window, by_likeness = int((sources & WINDOW > 0).sum()), int((sources & RETRIEVAL > 0).sum())
    return (
        f"{len(found.names)} photos · {by_window} candidates by sequence window, {by_likeness} by retrieval · "
        f"ground truth {scene.ground_truth}"
    )


def _lead(found: PairMatrix) -> str:
    partners = found.matrix().sum(axis=1)
    alone = int((partners == 0).sum())
    return (
        f"<b>{len(found.accepted)}</b> of {len(found.pairs)} candidate pairs are correlated. A photo has "
        f"<b>{float(np.median(partners)):.0f}</b> partners (median); {alone} photos have none."
    )


def _count_rows(found: PairMatrix) -> Iterator[str]:
    for reason, count in found.counts().items():
        share = count / len(found.pairs)
        threshold = _threshold(found, REASONS.index(reason))
        yield f"<tr><td>{escape(reason)}</td><td>{count}</td><td>{share:.1%}</td><td>{threshold}</td></tr>"


def _threshold(found: PairMatrix, reason: int) -> str:
    if reason == TURNED:
        return f"{found.settings['largest_angle_deg']:.1f}°"
    return f"{found.settings[_SETTING_OF[reason]]:g}" if reason in _SETTING_OF else ""


def _measured_rows(found: PairMatrix) -> Iterator[str]:
    for measure in MEASURES:
        values = found.measured[measure]
        known = values[np.isfinite(values)]
        if len(known):
            low, middle, high = (_value(measure, value) for value in np.percentile(known, [5, 50, 95]))
            cells = "".join(f"<td>{cell}</td>" for cell in (len(known), low, middle, high))
            yield f"<tr><td>{_MEASURE_WORDS[measure]}</td>{cells}</tr>"


def _accepted_groups(found: PairMatrix) -> list[_Group]:
    """By the test that decided, the last one that measured anything."""
    left, groups = found.reasons == ACCEPTED, []
    for measure in reversed(MEASURES):
        rows = left & np.isfinite(found.measured[measure])
        left = left & ~rows
        if rows.any():
            groups.append(_Group(np.flatnonzero(rows), measure))
    return groups


def _rejected_groups(found: PairMatrix) -> list[_Group]:
    groups = [
        _Group(np.flatnonzero(found.reasons == reason), _MEASURE_OF.get(reason, "angle_deg"))
        for reason in range(len(REASONS))
        if reason != ACCEPTED
    ]
    return [group for group in groups if len(group.rows)]


def _cards(found: PairMatrix, images: dict[str, Path], groups: list[_Group], thumbnails: Thumbnails) -> str:
    each = max(2, _EACH_SIDE // max(len(groups), 1))
    chosen = [group.rows[row] for group in groups for row in spread(found.measured[group.measure][group.rows], each)]
    return "".join(_card(found, images, row, thumbnails) for row in chosen)


def _card(found: PairMatrix, images: dict[str, Path], row: int, thumbnails: Thumbnails) -> str:
    figures = []
    for photo in found.pairs[row].tolist():
        name = found.names[photo]
        picture = thumbnails.element(images.get(name, Path(name)), name)
        figures.append(f"<figure>{picture}<figcaption><span>{escape(name)}</span></figcaption></figure>")
    values = [(measure, float(found.measured[measure][row])) for measure in MEASURES]
    facts = ", ".join(f"{_MEASURE_WORDS[measure]} {_value(measure, value)}" for measure, value in values if value == value)
    verdict = f'<span class="verdict">{escape(REASONS[found.reasons[row]])}</span>'
    return f'<article class="card"><div class="couple">{"".join(figures)}</div><p>{verdict}: {escape(facts)}</p></article>'


def _value(measure: str, value: float) -> str:
    return f"{value:.1f}°" if measure == "angle_deg" else f"{value:.3f}"


def _settings(found: PairMatrix, scene: Scene) -> str:
    facts = {name.replace("_", " "): _setting(value) for name, value in found.settings.items()}
    facts |= {"scene fingerprint": found.mapping_fingerprint or "unknown", "source of the scene": scene.source}
    facts |= {"irploc": irploc_version(), "written": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")}
    return "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())


def _setting(value: object) -> str:
    if value is None:
        return "not given"
    return f"{value:g}" if isinstance(value, float) else str(value)
