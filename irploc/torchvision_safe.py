"""The one place that imports torchvision.

A CPU-only torch beside the ordinary torchvision wheel fails with "operator torchvision::nms does not exist" when
torchvision registers its fake kernels. Declaring the two schemas first makes models and transforms work; the compiled
operators themselves (nms, image decoding) stay unavailable and irploc does not use them.
"""

from __future__ import annotations

import torch

_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_fragment = torch.library.Library("torchvision", "FRAGMENT")


def _import_torchvision() -> None:
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for schema in _SCHEMAS.values():
            _fragment.define(schema)
        import torchvision  # noqa: F401


_import_torchvision()

from torchvision import models  # noqa: E402
from torchvision.transforms import functional as transforms  # noqa: E402

__all__ = ["models", "transforms"]
