"""The confidence that `irploc track` prints."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from irploc.cli.track import _confidence


@pytest.mark.parametrize(("units", "shown"), [("metres", 0.97), ("as in the file", None)])
def test_a_frame_of_a_scene_without_metric_scale_has_no_confidence_however_it_was_found(
    units: str, shown: float | None
) -> None:
    header = SimpleNamespace(units=units)
    localizer: Any = SimpleNamespace(scenes=[SimpleNamespace(place=SimpleNamespace(store=SimpleNamespace(header=header)))])
    frame: Any = SimpleNamespace(confidence=0.97)
    assert _confidence(frame, localizer) == shown
