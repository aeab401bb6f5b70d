"""The one place that imports onnxruntime, which is an extra: it tells nobody that it is used."""

from __future__ import annotations

import os
from typing import Any


def import_onnxruntime() -> Any:
    """The module ``onnxruntime``; raises ImportError where it is not installed."""
    _keep_silent()
    import onnxruntime

    return onnxruntime


def import_quantization() -> Any:
    """The module ``onnxruntime.quantization``; as above."""
    _keep_silent()
    import onnxruntime.quantization

    return onnxruntime.quantization


def _keep_silent() -> None:
    """Official builds report to their maker and keep an id of the machine in the user's cache, unless told so first."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
