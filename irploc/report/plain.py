"""Tables of text, with notes and pictures, as Markdown and as one HTML page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from irploc.report.style import CSS


@dataclass(frozen=True)
class Table:
    """A title, a header and rows of text."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A drawing under its title, as SVG, and what is to be seen; with curves, their names and colours."""

    title: str
    svg: str
    caption: str = ""
    curves: tuple[tuple[str, str], ...] = ()


def as_markdown(title: str, tables: Sequence[Table], notes: Sequence[str]) -> str:
    """A document; pictures are the page's alone."""
    parts = [f"# {title}\n", *(f"{note}\n" for note in notes)]
    for table in tables:
        lines = [f"## {table.title}\n", f"| {' | '.join(table.header)} |", "|" + "---|" * len(table.header)]
        parts.append("\n".join([*lines, *(f"| {' | '.join(row)} |" for row in table.rows)]) + "\n")
    return "\n".join(parts)


def as_html(title: str, tables: Sequence[Table], notes: Sequence[str], pictures: Sequence[Picture] = ()) -> str:
    """A self-contained page."""

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    for table in tables:
        rows = "".join(row(cells, "td") for cells in table.rows)
        body += f"<h2>{html.escape(table.title)}</h2>"
        body += f"<div class='scroll'><table>{row(table.header, 'th')}{rows}</table></div>"
    for picture in pictures:
        body += f"<h2>{html.escape(picture.title)}</h2>"
        alone = "<div></div>" if picture.svg.count("<svg") == 1 else ""  # keeps its half of the page
        names = (f"<b style='color:{colour}'>&#9473;</b> {html.escape(name)}" for name, colour in picture.curves)
        body += f"<p>{' &ensp; '.join(names)}</p><div class='pair'>{picture.svg}{alone}</div>"
        body += f"<p class='quiet'>{html.escape(picture.caption)}</p>" if picture.caption else ""
    head = f"<meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{html.escape(title)}</title>"
    head = f"{head}<style>{CSS}</style>"
    page = f"<html lang='en'><head>{head}</head><body><main><h1>{html.escape(title)}</h1>{body}</main></body></html>"
    return f"<!doctype html>\n{page}\n"
