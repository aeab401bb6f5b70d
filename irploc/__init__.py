"""Visual localization from image-retrieval embeddings: where in a mapped place was this photo taken?

The Python front door is ``irploc.Localizer``; it is imported on first use, so that ``import irploc`` stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irploc.localizer import Localization, Localizer
    from irploc.scene import Scene

__all__ = ["Localization", "Localizer", "Scene"]
_HOME = {"Localizer": "irploc.localizer", "Localization": "irploc.localizer", "Scene": "irploc.scene"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'irploc' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)
