"""``PairMatrix``: which photos of a scene are correlated, what was measured to decide it, and its file."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from irploc import provenance
from irploc.errors import BadInput, Mismatch, NotFound
from irploc.files import replacing, write_text

FORMAT, VERSION = "irploc-pairs", 1
REASONS = (
    "accepted",
    "turned too far",
    "too few points",
    "too little depth overlap",
    "too few matches",
    "not tested",
)
ACCEPTED, TURNED, FEW_POINTS, LITTLE_DEPTH, FEW_MATCHES, NOT_TESTED = range(len(REASONS))
MEASURES = ("angle_deg", "point_share", "depth_share", "orb_share")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)


@dataclass(frozen=True)
class PairMatrix:
    """The candidate pairs of N photos and what became of them.

    Attributes:
        scene: its name.
        mapping_fingerprint: ``Scene.mapping_fingerprint``, empty where not known.
        names: of the N photos.
        pairs: (P, 2) int32 rows of ``names``, i < j, sorted, each once.
        sources: (P,) uint8, the bits ``candidates.WINDOW`` and ``candidates.RETRIEVAL``.
        reasons: (P,) uint8 numbers of ``REASONS``; 0 is accepted.
        measured: ``MEASURES`` -> (P,) float32; NaN where the test was not made.
        settings: what the pairs were selected with.

    Raises:
        ValueError: when the columns do not fit each other.
    """

    scene: str
    mapping_fingerprint: str
    names: tuple[str, ...]
    pairs: np.ndarray
    sources: np.ndarray
    reasons: np.ndarray
    measured: Mapping[str, np.ndarray]
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, dtype in (("pairs", np.int32), ("sources", np.uint8), ("reasons", np.uint8)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        if len(set(self.names)) != len(self.names):
            raise ValueError("a name occurs twice")
        if set(self.measured) != set(MEASURES):
            raise ValueError(f"measured are {', '.join(self.measured)}, expected {', '.join(MEASURES)}")
        count = len(self.pairs)
        if self.pairs.shape != (count, 2) or any(
            column.shape != (count,) for column in (self.sources, self.reasons, *self.measured.values())
        ):
            raise ValueError("the columns of the pairs differ in length")
        first, second = self.pairs.astype(np.int64).T
        if count and (first.min() < 0 or (first >= second).any() or second.max() >= len(self.names)):
            raise ValueError("a pair is not of two different photos, in order")
        if (np.diff(first * len(self.names) + second) <= 0).any():
            raise ValueError("the pairs are not sorted, or one occurs twice")
        if (self.reasons >= len(REASONS)).any():
            raise ValueError("an unknown reason")

    @cached_property
    def accepted(self) -> np.ndarray:
        """(Q, 2) int32 rows of the correlated pairs, i < j."""
        return self.pairs[self.reasons == ACCEPTED]

    def matrix(self) -> csr_array:
        """(N, N) symmetric, boolean, its diagonal empty: the paper's C."""
        rows, columns = self.accepted.T
        both = (np.concatenate([rows, columns]), np.concatenate([columns, rows]))
        return csr_array((np.ones(len(both[0]), dtype=bool), both), shape=(len(self.names), len(self.names)))

    def counts(self) -> dict[str, int]:
        """How many candidates each of ``REASONS`` took, those that took none left out."""
        found = np.bincount(self.reasons, minlength=len(REASONS)).tolist()
        return {reason: count for reason, count in zip(REASONS, found, strict=True) if count}

    def accepted_among(self, names: Sequence[str]) -> np.ndarray:
        """The correlated pairs as rows of another list of photos, the embedded ones for example.

        Returns:
            (Q, 2) int64, the smaller row first; pairs with a photo that is not in ``names`` are left out.

        Raises:
            Mismatch: when no pair is left.
        """
        row_of = {name: row for row, name in enumerate(names)}
        there = np.array([row_of.get(name, -1) for name in self.names], dtype=np.int64)[self.accepted]
        known = np.sort(there[(there >= 0).all(axis=1)], axis=1)
        if not len(known):
            raise Mismatch(
                f"no two of these {len(names)} photos are among the {len(self.accepted)} correlated pairs of {self.scene}: "
                "run 'irploc pairs' for the scene they belong to"
            )
        return known

    def check_scene(self, mapping_fingerprint: str, path: Path) -> None:
        """Raises Mismatch when the pairs were selected among other mapping photos, or with other poses; ``path`` is the
        pairs' file."""
        if self.mapping_fingerprint and self.mapping_fingerprint != mapping_fingerprint:
            raise Mismatch(f"{path} was made from other photos or poses than these: run 'irploc pairs' again")

    def save(self, path: Path) -> None:
        """Writes one ``.npz``, whole or not at all."""
        facts = {
            **provenance.header(FORMAT, VERSION),
            "scene": self.scene,
            "mapping_fingerprint": self.mapping_fingerprint,
            "reasons": REASONS,
            "settings": dict(self.settings),
        }
        arrays: dict[str, Any] = {"pairs": self.pairs, "source": self.sources, "reason": self.reasons, **self.measured}
        with replacing(path) as temporary, temporary.open("wb") as stream:
            names = np.array(self.names, dtype=np.str_)
            np.savez_compressed(stream, header=np.array(json.dumps(facts)), names=names, **arrays)

    @classmethod
    def load(cls, path: Path) -> PairMatrix:
        """Reads what ``save`` wrote.

        Raises:
            NotFound: no such file. BadInput: damaged or no such file of ours. Mismatch: another format or version.
        """
        if not path.is_file():
            raise NotFound(f"no pairs file {path}: make it with 'irploc pairs SCENE --out {path}'")
        if not zipfile.is_zipfile(path):
            raise BadInput(f"{path} was not written by 'irploc pairs', or is damaged; lists for hloc cannot be read back")
        try:
            with np.load(path, allow_pickle=False) as archive:
                content = {name: archive[name] for name in archive.files}
            facts = json.loads(str(content["header"]))
            if not isinstance(facts, dict):
                raise ValueError("its header is no table")
        except _DAMAGED as error:
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"{path} is damaged or was not written by 'irploc pairs': {why}") from None
        provenance.check_header(facts, FORMAT, VERSION, path)
        try:
            return cls(
                scene=str(facts["scene"]),
                mapping_fingerprint=str(facts["mapping_fingerprint"]),
                names=tuple(content["names"].tolist()),
                pairs=content["pairs"],
                sources=content["source"],
                reasons=content["reason"],
                measured={name: content[name] for name in MEASURES},
                settings=dict(facts["settings"]),
            )
        except _DAMAGED as error:
            raise BadInput(f"{path} is damaged: {error}") from None

    def save_hloc(self, path: Path) -> None:
        """Writes the accepted pairs as hloc reads them: ``name0 name1``, one line a pair, each pair once.

        Raises:
            BadInput: when a name has a space in it, which hloc's lists cannot hold.
        """
        spaced = [name for name in self.names if len(name.split()) != 1]
        if spaced:
            raise BadInput(
                f"{spaced[0]!r} has a space in it, which hloc's pair lists cannot hold: rename the photo, or use npz"
            )
        write_text(path, "".join(f"{self.names[i]} {self.names[j]}\n" for i, j in self.accepted.tolist()))
