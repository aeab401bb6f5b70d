"""What tests of floor maps share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_masks import WALKABLE, picture


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """A strip of white on black, ``mask.png``."""
    return picture(tmp_path / "mask.png", WALKABLE.astype(np.uint8) * 255)
