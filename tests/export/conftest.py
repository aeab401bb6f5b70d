"""A workspace with a rendered scene and a model that can be exported."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'irploc[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'irploc[onnx]'")


@pytest.fixture(scope="session")
def exportable(tmp_path_factory: pytest.TempPathFactory, toy_scene: Path) -> Path:
    """``scenes/toy`` and ``models/toy.irpnet.pt``; treat it as read-only."""
    from toy_export import write_encoder, write_model

    home = tmp_path_factory.mktemp("exportable")
    (home / "scenes").mkdir()
    (home / "models").mkdir()
    (home / "scenes/toy").symlink_to(toy_scene)
    write_model(home / "models/toy.irpnet.pt", write_encoder(home / "encoder.onnx"))
    return home
