"""``Localizer``: photo in, pose out. Loads everything once; the command line and the service both use it.

Names are imported on first use, so that exported models, which need none of torch, share the decoding and the answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irploc.localizer.localization import Localization
    from irploc.localizer.localizer import Answer, Localizer, Served
    from irploc.localizer.opening import encoder_of

__all__ = ["Answer", "Localization", "Localizer", "Served", "encoder_of"]
_HOME = {
    "Localization": "localization",
    "Answer": "localizer",
    "Localizer": "localizer",
    "Served": "localizer",
    "encoder_of": "opening",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'irploc.localizer' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"irploc.localizer.{_HOME[name]}"), name)
