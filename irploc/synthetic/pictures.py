"""Things that are drawn rather than woven: posters, paintings, book shelves, doors, windows, screens."""

from __future__ import annotations

import colorsys

import numpy as np

from irploc.synthetic.canvas import Canvas
from irploc.synthetic.patterns import Colour
from irploc.synthetic.surfaces import Material, Patch

_WORDS = tuple(
    word
    for line in (
        "NORTH HARBOUR MUSEUM OF LIGHT JAZZ NIGHT OPEN AIR CINEMA ATLAS SPRING FAIR RIVER",
        "BRIDGE GARDEN CLOCK WINTER COFFEE PARALLAX LANTERN ORCHARD TRAVEL SIGNAL HORIZON",
        "MARKET THEATRE VOLUME ARCHIVE STUDIO COMPASS",
    )
    for word in line.split()
)


def _brightened(colour: Colour, factor: float, lift: float = 0.0) -> Colour:
    """``colour`` times a factor plus a constant, within [0, 1]."""
    red, green, blue = (min(1.0, factor * channel + lift) for channel in colour)
    return red, green, blue


def _spine_colour(rng: np.random.Generator) -> Colour:
    """Cloth and paper: mostly browns, reds, blues and off-whites."""
    hue = rng.choice([0.02, 0.07, 0.1, 0.33, 0.58, 0.63, 0.95]) + rng.uniform(-0.03, 0.03)
    return colorsys.hsv_to_rgb(float(hue) % 1, rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.85))


def _palette(rng: np.random.Generator, count: int, saturation: float = 0.6) -> list[Colour]:
    """Colours of well spread hues."""
    start = rng.uniform()
    hues = (start + np.arange(count) * 0.381966) % 1
    return [colorsys.hsv_to_rgb(float(hue), saturation * rng.uniform(0.6, 1.2), rng.uniform(0.35, 0.9)) for hue in hues]


def _words(rng: np.random.Generator, count: int) -> str:
    return " ".join(rng.choice(_WORDS, count))


def poster() -> Material:
    """A printed poster: geometric shapes, a title and lines of small print."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        width, height = patch.width_m, patch.height_m
        colours = _palette(rng, 6)
        canvas = Canvas(patch, colours[0] if rng.uniform() < 0.5 else (0.93, 0.91, 0.85))
        for _ in range(int(rng.integers(7, 13))):
            _random_shape(canvas, rng, colours[int(rng.integers(1, 6))])
        dark, light = (0.09, 0.09, 0.12), (0.95, 0.94, 0.9)
        band = rng.choice([0.04, 0.72]) * height
        canvas.rectangle(0, band, width, 0.24 * height, dark)
        canvas.text(0.06 * width, band + 0.02 * height, 0.1 * height, _words(rng, 1), light)
        for row in range(3):
            canvas.text(0.06 * width, band + (0.14 + 0.03 * row) * height, 0.018 * height, _words(rng, 5), light)
        canvas.frame(0.012, light)
        return canvas.finish()

    return paint


def _random_shape(canvas: Canvas, rng: np.random.Generator, colour: Colour) -> None:
    u, v = rng.uniform(0, canvas.width_m), rng.uniform(0, canvas.height_m)
    size = rng.uniform(0.06, 0.35) * min(canvas.width_m, canvas.height_m)
    kind = rng.integers(4)
    if kind == 0:
        canvas.ellipse(u, v, size, size, colour)
        canvas.ellipse(u, v, 0.55 * size, 0.55 * size, (0.95, 0.9, 0.8))
        canvas.ellipse(u, v, 0.3 * size, 0.3 * size, colour)
    elif kind == 1:
        turns = rng.uniform(0, 2 * np.pi) + np.arange(3) * 2 * np.pi / 3
        canvas.polygon([(u + 1.3 * size * np.cos(turn), v + 1.3 * size * np.sin(turn)) for turn in turns], colour)
    elif kind == 2:
        for stripe in range(5):
            canvas.line(
                [(u - size, v + 0.3 * stripe * size), (u + size, v + (0.3 * stripe - 0.8) * size)], 0.1 * size, colour
            )
    else:
        canvas.rectangle(u - size, v - 0.6 * size, 2 * size, 1.2 * size, colour)
        canvas.rectangle(u - 0.8 * size, v - 0.4 * size, 0.5 * size, 0.8 * size, (0.15, 0.15, 0.2))


def painting(frame: Colour = (0.35, 0.22, 0.1)) -> Material:
    """A framed landscape: sky, hills, a sun, trees and houses."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, colorsys.hsv_to_rgb(rng.uniform(0.5, 0.7), 0.35, 0.85))
        canvas.ellipse(rng.uniform(0.2, 0.8) * width, 0.28 * height, 0.09 * height, 0.09 * height, (0.98, 0.85, 0.45))
        for layer in range(4):
            u = np.linspace(0, width, 40)
            waves = np.sum(
                [rng.uniform(0.2, 1) / k * np.sin(k * 3 * u / width + rng.uniform(0, 6)) for k in range(1, 6)], axis=0
            )
            ridge = height * (0.42 + 0.13 * layer) + 0.06 * height * waves
            tone = colorsys.hsv_to_rgb(rng.uniform(0.18, 0.45), 0.3 + 0.1 * layer, 0.65 - 0.12 * layer)
            canvas.polygon([*zip(u, ridge, strict=True), (width, height), (0, height)], tone)
            for _ in range(5):
                spot, size = int(rng.integers(2, 38)), rng.uniform(0.02, 0.05) * height * (1 + layer / 2)
                if rng.uniform() < 0.6:
                    canvas.ellipse(u[spot], ridge[spot] - size, size, 1.5 * size, (0.12, 0.2 + 0.08 * layer, 0.1))
                else:
                    canvas.rectangle(u[spot], ridge[spot] - size, 1.6 * size, 1.2 * size, (0.8, 0.72, 0.6))
                    roof = [(u[spot] - 0.2 * size, ridge[spot] - size), (u[spot] + 1.8 * size, ridge[spot] - size)]
                    canvas.polygon([*roof, (u[spot] + 0.8 * size, ridge[spot] - 2 * size)], (0.6, 0.22, 0.15))
        canvas.frame(0.05, frame)
        image = canvas.finish()
        return np.clip(image * (1 + 0.09 * patch.noise(0.03, 3))[..., None], 0, 1).astype(np.float32)

    return paint


def bookshelf(wood: Colour = (0.42, 0.27, 0.15), shelf_m: float = 0.34) -> Material:
    """The front of a book case: shelves of spines with labels, some leaning, some gaps."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        canvas = Canvas(patch, (0.1, 0.07, 0.05))
        colours = [_spine_colour(rng) for _ in range(14)]
        rows = max(1, int((patch.height_m - 0.05) / shelf_m))
        pitch = (patch.height_m - 0.04) / rows
        for row in range(rows):
            floor = 0.04 + (row + 1) * pitch - 0.03
            u = 0.04
            while u < patch.width_m - 0.08:
                width, height = rng.uniform(0.018, 0.055), rng.uniform(0.6, 0.9) * pitch
                if rng.uniform() < 0.07:
                    u += rng.uniform(0.04, 0.15)
                    continue
                colour = colours[int(rng.integers(14))]
                canvas.rectangle(u, floor - height, width * 0.95, height, colour)
                label = _brightened(colour, 1.0, 0.35)
                canvas.rectangle(
                    u + 0.15 * width, floor - rng.uniform(0.6, 0.9) * height, 0.65 * width, 0.18 * height, label
                )
                canvas.rectangle(u, floor - 0.15 * height, width * 0.95, 0.012, (0.85, 0.75, 0.4))
                u += width
            canvas.rectangle(0, floor, patch.width_m, 0.03, wood)
        canvas.frame(0.04, wood)
        return canvas.finish()

    return paint


def door(colour: Colour = (0.85, 0.83, 0.78)) -> Material:
    """A panelled door in its frame, with a handle."""

    def paint(patch: Patch) -> np.ndarray:
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, colour)
        dark, bright = _brightened(colour, 0.72), _brightened(colour, 1.1)
        for column in (0.16, 0.56):
            for top, tall in ((0.08, 0.3), (0.45, 0.14), (0.65, 0.27)):
                canvas.rectangle(column * width, top * height, 0.3 * width, tall * height, dark)
                canvas.rectangle(
                    (column + 0.02) * width, (top + 0.01) * height, 0.27 * width, (tall - 0.015) * height, bright
                )
        canvas.frame(0.06, (0.5, 0.36, 0.22))
        canvas.rectangle(0.11 * width, 0.5 * height, 0.035, 0.12, (0.25, 0.24, 0.22))
        canvas.rectangle(0.11 * width, 0.53 * height, 0.12, 0.02, (0.75, 0.68, 0.4))
        return canvas.finish()

    return paint


def window() -> Material:
    """What is seen through a window: sky, clouds, a row of houses and trees, behind glazing bars."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, (0.62, 0.78, 0.95))
        for _ in range(14):
            size = rng.uniform(0.05, 0.16)
            canvas.ellipse(rng.uniform(0, width), rng.uniform(0.05, 0.35) * height, 2 * size, 0.5 * size, (0.92, 0.95, 0.98))
        u = -0.1
        while u < width:
            wide, tall = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5) * height
            wall = colorsys.hsv_to_rgb(rng.uniform(0.02, 0.12), rng.uniform(0.2, 0.5), rng.uniform(0.5, 0.8))
            canvas.rectangle(u, height - tall, wide, tall, wall)
            roof = [(u - 0.02, height - tall), (u + wide + 0.02, height - tall), (u + wide / 2, height - tall - 0.13)]
            canvas.polygon(roof, (0.45, 0.2, 0.16))
            for column in range(int(wide / 0.09)):
                for row in range(int(tall / 0.13)):
                    canvas.rectangle(
                        u + 0.03 + 0.09 * column, height - tall + 0.03 + 0.13 * row, 0.04, 0.07, (0.2, 0.24, 0.3)
                    )
            u += wide + rng.uniform(-0.02, 0.08)
        for _ in range(9):
            size = rng.uniform(0.08, 0.16)
            canvas.ellipse(
                rng.uniform(0, width), height - 0.5 * size, size, 1.3 * size, (0.13, rng.uniform(0.25, 0.4), 0.12)
            )
        bar = (0.88, 0.88, 0.86)
        for share in (1 / 3, 2 / 3):
            canvas.rectangle(share * width - 0.02, 0, 0.04, height, bar)
        canvas.rectangle(0, 0.36 * height, width, 0.04, bar)
        canvas.frame(0.06, bar)
        return canvas.finish()

    return paint


def screen() -> Material:
    """A monitor showing windows full of text."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        canvas = Canvas(patch, (0.05, 0.07, 0.12))
        inks = _palette(rng, 4, 0.5)
        rows = 26
        for row in range(rows):
            u, v = patch.width_m * (0.06 + 0.04 * int(rng.integers(4))), patch.height_m * (0.06 + 0.88 * row / rows)
            for _ in range(int(rng.integers(0, 6))):
                wide = patch.width_m * rng.uniform(0.03, 0.13)
                canvas.rectangle(u, v, wide, 0.5 * patch.height_m / rows, inks[int(rng.integers(4))])
                u += wide + 0.012 * patch.width_m
                if u > 0.8 * patch.width_m:
                    break
        canvas.rectangle(
            0.62 * patch.width_m, 0.5 * patch.height_m, 0.32 * patch.width_m, 0.42 * patch.height_m, (0.8, 0.82, 0.85)
        )
        canvas.ellipse(0.78 * patch.width_m, 0.71 * patch.height_m, 0.1 * patch.height_m, 0.1 * patch.height_m, inks[1])
        canvas.frame(0.018, (0.03, 0.03, 0.03))
        return canvas.finish()

    return paint


def rug() -> Material:
    """A carpet with borders and a field of lozenges."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        width, height = patch.width_m, patch.height_m
        colours = [(0.5, 0.12, 0.12), (0.16, 0.2, 0.36), (0.82, 0.72, 0.52), (0.2, 0.33, 0.27)]
        canvas = Canvas(patch, colours[0])
        for inset, colour in ((0.05, colours[2]), (0.08, colours[1]), (0.2, colours[2]), (0.22, colours[0])):
            canvas.rectangle(inset, inset, width - 2 * inset, height - 2 * inset, colour)
        for row in np.arange(0.36, height - 0.3, 0.22):
            for column in np.arange(0.36, width - 0.3, 0.22):
                size, colour = rng.uniform(0.06, 0.1), colours[int(rng.integers(1, 4))]
                canvas.polygon(
                    [(column - size, row), (column, row - size), (column + size, row), (column, row + size)], colour
                )
                canvas.ellipse(column, row, 0.3 * size, 0.3 * size, colours[0])
        for u in np.arange(0.14, width - 0.1, 0.09):
            for v in (0.14, height - 0.14):
                canvas.ellipse(u, v, 0.028, 0.028, colours[int(rng.integers(2, 4))])
        image = canvas.finish()
        return np.clip(image * (1 + 0.16 * patch.noise(0.02, 2) + 0.08 * patch.noise(0.4, 2))[..., None], 0, 1).astype(
            np.float32
        )

    return paint


def carton(colour: Colour = (0.68, 0.51, 0.33)) -> Material:
    """The side of a cardboard box with tape, an address label and printed words."""

    def paint(patch: Patch) -> np.ndarray:
        rng = patch.rng
        width, height = patch.width_m, patch.height_m
        canvas = Canvas(patch, colour)
        canvas.rectangle(0.44 * width, 0, 0.12 * width, height, _brightened(colour, 0.85))
        u, v = rng.uniform(0.05, 0.4) * width, rng.uniform(0.1, 0.4) * height
        canvas.rectangle(u, v, 0.4 * width, 0.3 * height, (0.92, 0.91, 0.88))
        for row in range(4):
            canvas.text(u + 0.02 * width, v + (0.03 + 0.06 * row) * height, 0.045 * height, _words(rng, 2), (0.1, 0.1, 0.1))
        canvas.text(0.08 * width, 0.76 * height, 0.12 * height, _words(rng, 1), (0.3, 0.12, 0.08))
        image = canvas.finish()
        return np.clip(image * (1 + 0.1 * patch.noise(0.15, 4))[..., None], 0, 1).astype(np.float32)

    return paint
