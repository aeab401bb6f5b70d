"""The benchmark of trajectories: how many walks are mapped."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest


def test_no_more_walks_are_mapped_than_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).resolve().parents[2] / "scripts/bench_trajectory.py"
    spec = importlib.util.spec_from_file_location("bench_trajectory", path)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.fewer(9, 5) == 5
    assert capsys.readouterr().err == "--sfm 9: there are 5 walks of test photos, all are taken\n"
    assert [script.fewer(wanted, 5) for wanted in (1, 5)] == [1, 5]
    assert not capsys.readouterr().err
