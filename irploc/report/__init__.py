"""An ``Evaluation`` for people: table, Markdown and one self-contained page."""

from irploc.report.page import render_page, write_page
from irploc.report.table import (
    FLOOR_NOTE,
    Table,
    confidence_table,
    describe,
    floor_table,
    markdown,
    notes,
    plain_text,
    summary_table,
)

__all__ = [
    "FLOOR_NOTE",
    "Table",
    "confidence_table",
    "describe",
    "floor_table",
    "markdown",
    "notes",
    "plain_text",
    "render_page",
    "summary_table",
    "write_page",
]
