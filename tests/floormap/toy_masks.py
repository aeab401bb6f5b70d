"""Floor maps in a few pixels, and the one line that a refusal is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from irploc.errors import BadInput, IrplocError

WALKABLE = np.zeros((30, 40), dtype=bool)
WALKABLE[10:20, 5:35] = True
GOOD = 'format = "irploc-floormap"\nversion = 1\nmetres_per_pixel = 0.1\nmask = "mask.png"\n'


def picture(path: Path, pixels: np.ndarray) -> Path:
    """A saved PNG."""
    Image.fromarray(pixels).save(path)
    return path


def refused(function: object, *arguments: object, kind: type[IrplocError] = BadInput, **names: object) -> str:
    """What a call that must be refused says, one line."""
    with pytest.raises(kind) as caught:
        function(*arguments, **names)  # type: ignore[operator]
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)
    return str(caught.value)
