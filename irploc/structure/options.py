"""How a map is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from irploc.errors import BadInput
from irploc.structure.features import FeatureOptions

OPTIONS = "options"  # in a map's identity
AUTO, ALL = "auto", "all"
_MOST_PAIRS = 1000
_MOST_DIGITS = 18  # of a number of key photos


@dataclass(frozen=True)
class MapOptions:
    """How a map is made.

    Attributes:
        key_photos: ``auto`` leaves out photos whose content others show, ``all`` takes every one, a number so many.
        pairs: similar photos that each photo is matched with.
        features: how features are found.
        seed: of every random choice.
        sparse: points are those of the sparse model that ``scene build`` left.

    Raises:
        BadInput: for numbers or words that cannot be.
    """

    key_photos: str = AUTO
    pairs: int = 20
    features: FeatureOptions = field(default_factory=FeatureOptions)
    seed: int = 0
    sparse: bool = False

    def __post_init__(self) -> None:
        word = self.key_photos
        is_number = word.isascii() and word.isdecimal() and len(word) <= _MOST_DIGITS
        if word not in (AUTO, ALL) and not (is_number and int(word) >= 2):
            shown = word if len(word) <= 2 * _MOST_DIGITS else f"{word[:_MOST_DIGITS]}..."
            raise BadInput(f"key photos are {shown!r}, expected auto, all or a number of at least 2")
        if not 1 <= self.pairs <= _MOST_PAIRS:
            raise BadInput(f"pairs is {self.pairs}, it must lie in [1, {_MOST_PAIRS}]")

    def plain(self) -> dict[str, Any]:
        """One level of plain values, as ``of`` takes them."""
        own = ("key_photos", "pairs", "seed", "sparse")
        values = {name: getattr(self, name) for name in own}
        return {**values, "max_features": self.features.max_features, "max_side": self.features.max_side}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> MapOptions:
        """From plain values; those that are not there are the defaults."""
        of_features = {name: values[name] for name in ("max_features", "max_side") if name in values}
        own = {name: value for name, value in values.items() if name not in of_features}
        return cls(**own, features=FeatureOptions(**of_features))

    @classmethod
    def of_identity(cls, identity: Mapping[str, str]) -> MapOptions:
        """Those a map was made with; the defaults where it does not say."""
        return cls.of(json.loads(identity.get(OPTIONS, "{}")))
