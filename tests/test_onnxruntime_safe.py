"""onnxruntime writes nothing of its own and reports to nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'irploc[onnx]'")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'irploc[onnx]'")

SESSION = """
import sys
from irploc.onnxmodel import open_session
open_session(open(sys.argv[1], "rb").read(), "a graph")
"""


def test_opening_a_graph_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "graph", [value], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "graph.onnx").write_bytes(model.SerializeToString())
    home = tmp_path / "home"
    home.mkdir()
    settings = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    command = [sys.executable, "-c", SESSION, str(tmp_path / "graph.onnx")]
    subprocess.run(command, env={**settings, "HOME": str(home)}, check=True, timeout=60)
    assert list(home.rglob("*onnxruntime*")) == []
