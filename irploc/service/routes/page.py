"""The page and its files."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)
_FOLDER = Path(__file__).parents[1] / "page"


@router.get("/")
async def page() -> FileResponse:
    """The one page."""
    return FileResponse(_FOLDER / "index.html")
