"""A point cloud drawn into a photo by its estimated and its true pose, and how far apart the two drawings are in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont
from PIL.PngImagePlugin import PngInfo

from irploc import provenance
from irploc.files import replacing
from irploc.geometry.cameras import Camera, cam_from_world
from irploc.geometry.poses import Poses
from irploc.projection import in_picture, project_points

FORMAT, VERSION = "irploc-overlay", 1
NEAR_M = 0.1
TRUE_COLOR, ESTIMATED_COLOR = "#56b4e9", "#f0a010"  # a sky blue and an orange that every kind of colour vision tells apart
_INK, _PAPER = "#14171a", "#fbfbfa"
_POINTS_PER_CELL = 6  # what hides what is decided in cells that hold about so many points
_SAME_SURFACE = 1.08  # a point this many times as far as the nearest of its cell is hidden by it
_SHOWN_SIDE = (1200, 1600)  # the longer side of a picture, pixels
_SMOOTH = 2  # drawn so many times larger, then reduced


@dataclass(frozen=True)
class Difference:
    """How far apart two poses draw the same points.

    Attributes:
        mean_px, median_px: of the distances, in pixels of the photo; NaN without points.
        points: how many were compared.
        capped: how many of them the estimated pose puts behind the camera or further off than the photo's diagonal; their
            distance counts as the diagonal.
    """

    mean_px: float
    median_px: float
    points: int
    capped: int


@dataclass(frozen=True)
class Caption:
    """The words of a picture: what estimated the pose, and lines about the result."""

    method: str
    result: str
    source: str


def pixels_of(points_m: np.ndarray, camera: Camera, pose: Poses) -> np.ndarray:
    """Pixels (M, 2) of world points (M, 3) for the one camera in ``pose``; NaN where ``project_points`` has none.

    Source: Kim and Ko 2022, equation 14 (K [R | t] X), with lens distortion.
    """
    return project_points(camera, cam_from_world(points_m, pose))


def visible_points(
    points_m: np.ndarray, camera: Camera, pose: Poses, near_m: float = NEAR_M, occluders_m: np.ndarray | None = None
) -> np.ndarray:
    """(K,) ascending row numbers of the points that a camera sees.

    Those inside the picture, at a depth of more than ``near_m``, and not hidden: in a grid over the picture, points
    clearly behind the nearest point of their cell are hidden by it. That is right where the cloud is dense enough; through
    a thin cloud one looks.

    Args:
        points_m: (M, 3) world frame.
        occluders_m: (L, 3) further points that hide but are not counted, of a denser cloud for example.
    """
    cloud = points_m if occluders_m is None else np.concatenate([points_m, occluders_m])
    local = cam_from_world(cloud, pose)
    pixels = project_points(camera, local)
    rows = np.flatnonzero((local[:, 2] > near_m) & in_picture(camera, pixels))
    if not len(rows):
        return rows
    cell = max(np.sqrt(camera.width * camera.height * _POINTS_PER_CELL / len(rows)), 1.0)
    across = int(camera.width / cell) + 1
    column, line = np.floor(pixels[rows] / cell).astype(np.int64).T
    cells = line * across + column
    nearest = np.full(int(cells.max()) + 1, np.inf)
    np.minimum.at(nearest, cells, local[rows, 2])
    seen = rows[local[rows, 2] <= nearest[cells] * _SAME_SURFACE]
    return seen[seen < len(points_m)]


def reprojection_difference(points_m: np.ndarray, camera: Camera, estimated: Poses, true: Poses) -> Difference:
    """The distances between the two projections of points (M, 3) that the true pose sees.

    Distances are capped at the photo's diagonal, and a point behind the estimated camera counts as that: the projection of
    points near the camera's plane grows without bound, and a single one would be the whole mean.

    Source: Kendall & Cipolla, CVPR 2017 (their geometric loss, as a measure); the cap is ours.
    """
    if not len(points_m):
        return Difference(float("nan"), float("nan"), 0, 0)
    diagonal = float(np.hypot(camera.width, camera.height))
    apart = np.linalg.norm(pixels_of(points_m, camera, estimated) - pixels_of(points_m, camera, true), axis=1)
    capped = ~(apart < diagonal)  # NaN is capped too
    apart[capped] = diagonal
    return Difference(float(apart.mean()), float(np.median(apart)), len(apart), int(capped.sum()))


def draw_overlay(
    photo: Image.Image,
    camera: Camera,
    points_m: np.ndarray,
    estimated: Poses,
    true: Poses | None,
    caption: Caption,
    shown: int = 500,
) -> Image.Image:
    """The photo, paled, with points drawn by the estimated pose and by the true one, and a legend below.

    Circles are the true pose's, dots the estimated one's; a line joins the two drawings of a point.

    Args:
        points_m: (M, 3) the points that are seen, world frame; at most ``shown`` of them are drawn, spread over the photo.
        true: None where it is not known; the dots are alone then.
    """
    longer = max(photo.size)
    scale = float(np.clip(longer, *_SHOWN_SIDE)) / longer
    size = (round(photo.width * scale), round(photo.height * scale))
    pale = ImageEnhance.Color(photo.resize(size, Image.Resampling.LANCZOS)).enhance(0.4)
    pale = ImageEnhance.Brightness(pale).enhance(0.9).convert("RGBA")
    estimated_px = pixels_of(points_m, camera, estimated)
    true_px = None if true is None else pixels_of(points_m, camera, true)
    some = _spread_rows(estimated_px if true_px is None else true_px, camera, shown)
    layer = Image.new("RGBA", (size[0] * _SMOOTH, size[1] * _SMOOTH), (0, 0, 0, 0))
    marks = _Marks(ImageDraw.Draw(layer), _SMOOTH * max(size) / 1280)
    factor = scale * _SMOOTH
    marks.draw(estimated_px[some] * factor, None if true_px is None else true_px[some] * factor)
    pale.alpha_composite(layer.resize(size, Image.Resampling.BOX))
    return _with_legend(pale.convert("RGB"), caption, true is not None)


def write_overlay(path: Path, picture: Image.Image, facts: dict[str, str]) -> None:
    """Writes a PNG with the header of our files and ``facts`` in its text fields.

    Raises:
        BadInput: when it cannot be written.
    """
    info = PngInfo()
    for name, value in {**provenance.header(FORMAT, VERSION), **facts}.items():
        info.add_text(name, str(value))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=info)


class _Marks:
    """Draws points; ``unit`` is the width of a thin line."""

    def __init__(self, canvas: ImageDraw.ImageDraw, unit: float) -> None:
        self._canvas, self._unit = canvas, unit

    def draw(self, estimated: np.ndarray, true: np.ndarray | None) -> None:
        if true is not None:
            limit = max(self._canvas.im.size) * 2  # far outside; longer lines only cost time
            joined = np.isfinite(estimated).all(axis=1) & (np.abs(estimated).max(axis=1, initial=0) < limit)
            for start, end in zip(true[joined].tolist(), estimated[joined].tolist(), strict=True):
                self._canvas.line([*start, *end], fill=(255, 255, 255, 150), width=round(1.3 * self._unit))
            for x, y in true.tolist():
                self.circle(x, y)
        for x, y in estimated[np.isfinite(estimated).all(axis=1)].tolist():
            self.dot(x, y)

    def circle(self, x: float, y: float) -> None:
        for radius, width, color in ((6.2, 4.2, _INK), (5.4, 2.4, TRUE_COLOR)):
            self._canvas.ellipse(self._box(x, y, radius), outline=color, width=max(1, round(width * self._unit)))

    def dot(self, x: float, y: float) -> None:
        self._canvas.ellipse(self._box(x, y, 3.8), fill=_INK)
        self._canvas.ellipse(self._box(x, y, 2.9), fill=ESTIMATED_COLOR)

    def _box(self, x: float, y: float, radius: float) -> tuple[float, float, float, float]:
        reach = radius * self._unit
        return x - reach, y - reach, x + reach, y + reach


def _spread_rows(pixels: np.ndarray, camera: Camera, count: int) -> np.ndarray:
    """Row numbers of at most ``count`` pixels inside the picture, one from each cell of a grid as far as they go."""
    rows = np.flatnonzero(in_picture(camera, pixels))
    if len(rows) <= count:
        return rows
    cell = np.sqrt(camera.width * camera.height / count)
    cells = np.floor(pixels[rows] / cell).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(rows))  # else the first points, of the first photo, would win
    _, first = np.unique(cells[order], axis=0, return_index=True)
    return np.sort(rows[order[first]])[:count]


def _with_legend(picture: Image.Image, caption: Caption, has_true: bool) -> Image.Image:
    unit = max(picture.size) / 1280
    font, small = (ImageFont.load_default(size) for size in (22 * unit, 18 * unit))
    lines = _legend_lines(picture.width, unit, font, caption, has_true)
    row = round(36 * unit)
    footer = round(34 * unit)
    page = Image.new("RGB", (picture.width, picture.height + row * len(lines) + footer + round(14 * unit)), _PAPER)
    page.paste(picture)
    y = picture.height + round(10 * unit)
    for line in lines:
        page.paste(line, (0, y))
        y += row
    ImageDraw.Draw(page).text((18 * unit, y + 2 * unit), caption.source, font=small, fill="#5a626b")
    return page


def _legend_lines(
    width: int, unit: float, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, caption: Caption, has_true: bool
) -> list[Image.Image]:
    """Strips of the legend: the marks with their meaning, then the result, on one line where it fits."""
    items = [("dot", f"estimated by {caption.method}")]
    if has_true:
        items = [("circle", "true pose"), *items, ("line", "the same point")]
    smooth, gap, row = _SMOOTH, 34 * unit, round(36 * unit)
    marks = Image.new("RGB", (width * smooth, row * smooth), _PAPER)
    canvas, x = ImageDraw.Draw(marks), 28 * unit
    places = []
    for mark, words in items:
        drawn = _Marks(canvas, smooth * unit * 1.15)
        middle = (x * smooth, row * smooth / 2)
        if mark == "line":
            canvas.line(
                [x * smooth - 20 * unit, middle[1], x * smooth + 20 * unit, middle[1]],
                fill="#8a929b",
                width=round(3 * unit),
            )
        else:
            getattr(drawn, mark)(*middle)
        places.append((x + 16 * unit, words))
        x += 16 * unit + font.getlength(words) + gap
    strip = marks.resize((width, row), Image.Resampling.BOX)
    pen = ImageDraw.Draw(strip)
    for left, words in places:
        pen.text((left, row / 2), words, font=font, fill=_INK, anchor="lm")
    end = width - 18 * unit
    if x + font.getlength(caption.result) <= end:
        pen.text((end, row / 2), caption.result, font=font, fill=_INK, anchor="rm")
        return [strip]
    second = Image.new("RGB", (width, row), _PAPER)
    ImageDraw.Draw(second).text((18 * unit, row / 2), caption.result, font=font, fill=_INK, anchor="lm")
    return [strip, second]
