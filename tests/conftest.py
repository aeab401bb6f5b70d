"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real photos, poses and weights; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("IRPLOC_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"needs the shared data, which is not at {folder} (set IRPLOC_SHARED)")
    return folder


@pytest.fixture(scope="session")
def kitchen(shared: Path) -> Path:
    """The real 7-Scenes kitchen."""
    return shared / "data/7scenes/redkitchen"


@pytest.fixture(scope="session")
def fox(shared: Path) -> Path:
    """The real nerfstudio fox."""
    return shared / "data/nerfstudio/fox"
