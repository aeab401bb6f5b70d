"""What hangs on the walls of a corridor: room numbers, signs, notice boards, extinguishers."""

from __future__ import annotations

from dataclasses import replace

from irploc.synthetic import patterns
from irploc.synthetic.canvas import Canvas
from irploc.synthetic.patterns import Colour
from irploc.synthetic.pictures import poster
from irploc.synthetic.surfaces import Material, Patch


def printed(material: Material, number: int) -> Material:
    """The same painting wherever it hangs: copy ``number`` of a print."""
    return lambda patch: material(replace(patch, seed=number))


def flush_door(colour: Colour, glazed: bool) -> Material:
    """A smooth office door in its frame, with a handle and a kick plate; with a narrow pane if ``glazed``."""

    def paint(patch: Patch):  # type: ignore[no-untyped-def]
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, colour)
        if glazed:
            canvas.rectangle(0.68 * width, 0.16 * height, 0.13 * width, 0.42 * height, (0.2, 0.24, 0.27))
            canvas.line([(0.69 * width, 0.5 * height), (0.8 * width, 0.24 * height)], 0.012, (0.5, 0.55, 0.6))
        canvas.rectangle(0, 0.9 * height, width, 0.1 * height, (0.62, 0.63, 0.64))
        canvas.frame(0.06, (0.45, 0.46, 0.48))
        canvas.rectangle(0.1 * width, 0.5 * height, 0.04, 0.16, (0.75, 0.75, 0.74))
        canvas.rectangle(0.1 * width, 0.52 * height, 0.14, 0.022, (0.55, 0.55, 0.55))
        return canvas.finish()

    return paint


def plate(words: str, ground: Colour = (0.93, 0.93, 0.9), ink: Colour = (0.1, 0.12, 0.2)) -> Material:
    """A small sign with a word or a number."""

    def paint(patch: Patch):  # type: ignore[no-untyped-def]
        canvas = Canvas(patch, ground)
        canvas.text(0.1 * patch.width_m, 0.2 * patch.height_m, 0.5 * patch.height_m, words, ink)
        canvas.frame(0.008, ink)
        return canvas.finish()

    return paint


def notice_board() -> Material:
    """Cork with sheets of paper of several colours pinned to it."""

    def paint(patch: Patch):  # type: ignore[no-untyped-def]
        rng, width, height = patch.rng, patch.width_m, patch.height_m
        canvas = Canvas(patch, (0.66, 0.5, 0.34))
        papers = ((0.95, 0.95, 0.92), (0.95, 0.92, 0.6), (0.75, 0.87, 0.95), (0.95, 0.8, 0.78))
        for column in range(int(width / 0.27)):
            for row in range(int(height / 0.36)):
                if rng.uniform() < 0.25:
                    continue
                u = 0.06 + 0.27 * column + rng.uniform(-0.02, 0.02)
                v = 0.06 + 0.36 * row + rng.uniform(-0.02, 0.02)
                canvas.rectangle(u, v, 0.2, 0.28, papers[int(rng.integers(4))])
                for line in range(int(rng.integers(2, 8))):
                    canvas.rectangle(u + 0.02, v + 0.04 + 0.03 * line, rng.uniform(0.06, 0.16), 0.01, (0.25, 0.25, 0.3))
        canvas.frame(0.035, (0.5, 0.36, 0.24))
        return canvas.finish()

    return paint


def extinguisher() -> Material:
    """A fire extinguisher under its sign."""

    def paint(patch: Patch):  # type: ignore[no-untyped-def]
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, (0.86, 0.85, 0.81))
        red, dark = (0.72, 0.08, 0.08), (0.1, 0.1, 0.1)
        canvas.rectangle(0.15 * width, 0, 0.7 * width, 0.2 * height, red)
        canvas.rectangle(0.25 * width, 0.42 * height, 0.5 * width, 0.55 * height, red)
        canvas.ellipse(0.5 * width, 0.43 * height, 0.25 * width, 0.07 * height, red)
        canvas.rectangle(0.42 * width, 0.3 * height, 0.16 * width, 0.1 * height, dark)
        canvas.line([(0.58 * width, 0.34 * height), (0.9 * width, 0.6 * height)], 0.02, dark)
        canvas.rectangle(0.3 * width, 0.6 * height, 0.4 * width, 0.16 * height, (0.92, 0.9, 0.8))
        return canvas.finish()

    return paint


def picture_of(kind: str, number: int) -> Material:
    """A poster or a notice board, copy ``number``."""
    return printed(poster() if kind == "poster" else notice_board(), number)


def lockers() -> Material:
    """The fronts of a row of lockers."""
    return patterns.tiles(((0.32, 0.42, 0.52), (0.35, 0.45, 0.55), (0.3, 0.4, 0.5)), 0.4, (0.14, 0.16, 0.2))
