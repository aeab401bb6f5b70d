"""From a video or a folder of photos to a sparse model: every stage goes on where it was interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, NotFound
from irploc.images import SUFFIXES, list_images
from irploc.mapping.colmap_calls import colmap_log
from irploc.mapping.features import CameraOptions, colmap_device, extract_features, feature_counts
from irploc.mapping.frames import photos_of_video
from irploc.mapping.matching import MatchingOptions, all_pairs, match_graph, match_pairs, walk_pairs
from irploc.mapping.photos import PhotoSet, named, photos_of_folder
from irploc.mapping.quality import Evidence, Quality, advice, missing_ranges, quality_of
from irploc.mapping.reconstruct import Model, calibrate_focal, reconstruct
from irploc.mapping.selection import SelectionOptions
from irploc.mapping.similar import embedding_encoder, similar_pairs
from irploc.mapping.video import video_facts
from irploc.mapping.work import work_folder
from irploc.pairs.candidates import unique_pairs
from irploc.progress import Stages, silent_stages

FEWEST_PHOTOS = 6
LOG = "colmap.log"
_MOST = 100_000  # features, and pixels of a side
_GOOD = 0.95  # registered share that needs no second attempt


@dataclass(frozen=True)
class BuildOptions:
    """How a map is made.

    Attributes:
        selection: of the frames of a video.
        cameras: what is assumed of them.
        matching: which pairs are compared.
        encoder: that finds photos which look alike.
        max_features: of a photo.
        max_side: photos are reduced to so many pixels for their features; intrinsics are those of the whole photo.
        min_registered: share of the photos that the map must hold.
        seed: of RANSAC and of encoders that are fitted.
        device: of encoder and COLMAP.

    Raises:
        BadInput: for values that cannot be.
    """

    selection: SelectionOptions = field(default_factory=SelectionOptions)
    cameras: CameraOptions = field(default_factory=CameraOptions)
    matching: MatchingOptions = field(default_factory=MatchingOptions)
    encoder: str = "densevlad"
    max_features: int = 8192
    max_side: int = 1600
    min_registered: float = 0.7
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        if not 0 <= self.min_registered <= 1:
            raise BadInput(f"min registered is {self.min_registered}, it must lie in [0, 1]")
        for name in ("max_features", "max_side"):
            if not 100 <= getattr(self, name) <= _MOST:
                raise BadInput(f"{name.replace('_', ' ')} is {getattr(self, name)}, it must lie in [100, {_MOST}]")


@dataclass(frozen=True)
class BuiltMap:
    """A map that is good enough.

    Attributes:
        photos: what was mapped.
        model: the sparse model, in a frame and scale of its own.
        quality: measures of it.
        seconds: spent in each stage, by this run.
    """

    photos: PhotoSet
    model: Model
    quality: Quality
    seconds: dict[str, float]


@contextmanager
def build_map(
    source: Path,
    out: Path,
    options: BuildOptions,
    stages: Stages = silent_stages,
    quiet: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[BuiltMap]:
    """Runs all stages; what is done already in ``out/build`` is kept. Until the block ends nobody else can build there.

    Args:
        source: a video, or a folder of photos.
        out: the scene's folder; frames go to ``out/images``, COLMAP's own lines to ``out/colmap.log``.
        stages: gives progress bars.
        quiet: for parts that have bars of their own.
        say: takes one-line notes.

    Raises:
        NotFound: no such source. Busy: another process builds there. BadInput: photos that cannot be mapped; the message
            says what was seen and what would help.
    """
    colmap_device(options.device)
    check_source(source, options)
    with work_folder(source, out, _settings(options), say) as work, colmap_log(out / LOG):
        yield _Run(source, out, work, options, stages, quiet, say).everything()


@dataclass(frozen=True)
class _Attempt:
    """What one matching led to."""

    quality: Quality
    evidence: Evidence
    models: list[Model]


class _Run:
    """One call of ``build_map``."""

    def __init__(
        self,
        source: Path,
        out: Path,
        work: Path,
        options: BuildOptions,
        stages: Stages,
        quiet: bool,
        say: Callable[[str], None],
    ) -> None:
        self._source, self._out, self._work, self._options = source, out, work, options
        self._stages, self._quiet, self._say = stages, quiet, say
        self._database = work / "database.db"
        self._seconds: dict[str, float] = {}

    def everything(self) -> BuiltMap:
        with self._timed("photos"):
            photos, blurred = self._photos()
        if len(photos) < FEWEST_PHOTOS:
            raise BadInput(_too_few(self._source, photos))
        self._say(f"{photos.words}")
        with self._timed("features"), self._stages("features", len(photos), "photos") as bar:
            self._features(photos, bar)
        found = self._attempts(photos, blurred)
        quality, evidence = found.quality, found.evidence
        if quality.share < self._options.min_registered or not found.models:
            raise BadInput(
                f"{self._source}: only {quality.registered} of {quality.photos} photos could be registered "
                f"({quality.share:.0%}, at least {self._options.min_registered:.0%} are wanted): {advice(quality, evidence)}"
            )
        if quality.only_turned:
            raise BadInput(
                f"{self._source}: all fits, but the poses mean nothing, the camera moved by only {quality.baseline:.2f} of "
                f"the distance of what it saw: {advice(quality, evidence)}"
            )
        if quality.registered < quality.photos:
            lost = missing_ranges(photos.names, named(photos, found.models[0].registered))
            self._say(f"{quality.photos - quality.registered} of {quality.photos} photos have no pose: {lost}")
        return BuiltMap(photos, found.models[0], quality, self._seconds)

    def _attempts(self, photos: PhotoSet, blurred: float) -> _Attempt:
        """The usual matching, and a denser one where too little comes of it; the better map of the two."""
        matching = self._options.matching
        first = self._attempt(photos, blurred, matching, 1)
        denser = matching.denser()
        if first.quality.share >= _GOOD or len(photos) <= matching.exhaustive:  # or all pairs were compared
            return first
        self._say(f"{first.quality.registered} of {first.quality.photos} photos registered: matching more pairs")
        second = self._attempt(photos, blurred, denser, 2)
        return second if second.quality.registered >= first.quality.registered else first

    def _photos(self) -> tuple[PhotoSet, float]:
        """The photos, and the share of blurred ones among the frames of a video."""
        if self._source.is_dir():
            with self._stages("photos", 0, "photos") as bar:
                return photos_of_folder(self._source, self._work, bar), 0.0
        return photos_of_video(self._source, self._out / "images", self._work, self._options.selection, self._stages)

    def _features(self, photos: PhotoSet, bar: Any) -> None:
        options = self._options
        extract_features(
            self._database,
            photos.readable,
            photos.files,
            options.cameras,
            options.max_features,
            options.max_side,
            options.device,
            bar,
        )

    def _attempt(self, photos: PhotoSet, blurred: float, matching: MatchingOptions, number: int) -> _Attempt:
        """Compares and maps; an attempt that was finished by an interrupted run is taken as it is."""
        work, seed = self._work / f"attempt{number}", self._options.seed
        work.mkdir(exist_ok=True)
        if not (work / "models.done").is_file():
            with self._timed("retrieval"):
                pairs = self._pairs(photos, matching)
            with self._timed("matching"), self._stages("matching", len(pairs), "pairs") as bar:
                match_pairs(self._database, photos.files, pairs, seed, self._options.device, bar)
                calibrate_focal(self._database, seed)
        with self._timed("mapping"), self._stages("mapping", len(photos), "photos") as bar:
            models = reconstruct(self._database, photos.readable, len(photos), seed, work, bar)
        counts = feature_counts(self._database)
        features = np.array([counts[file] for file in photos.files])
        evidence = Evidence(photos.names, features, match_graph(self._database, photos.files), blurred)
        return _Attempt(quality_of(models, evidence), evidence, models)

    def _pairs(self, photos: PhotoSet, matching: MatchingOptions) -> np.ndarray:
        if len(photos) <= matching.exhaustive:
            return all_pairs(len(photos))
        walks = np.array(photos.sequences)
        parts = [np.empty((0, 2), dtype=np.int64)]
        for walk in np.unique(walks):
            rows = np.flatnonzero(walks == walk)
            parts.append(rows[walk_pairs(len(rows), matching.window, 2 if matching.similar else None)])
        if matching.similar:
            store, options = self._work / "embeddings.h5", self._options
            parts.append(
                similar_pairs(
                    photos,
                    options.encoder,
                    matching.similar,
                    matching.window,
                    store,
                    options.seed,
                    options.device,
                    self._quiet,
                    self._say,
                )
            )
        return unique_pairs(np.concatenate(parts))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.monotonic() - started


def check_source(source: Path, options: BuildOptions) -> None:
    """Says before hours of work what is missing.

    Raises:
        NotFound: no such source, or no weights of the encoder. BadInput: neither a video nor a folder of photos.
    """
    if not source.exists():
        raise NotFound(f"no video or folder of photos {source}")
    if source.is_file() and source.suffix.lower() in SUFFIXES:
        raise BadInput(f"{source} is a single photo: give a folder of photos, or a video")
    if source.is_file():
        video_facts(source)
    elif not list_images(source):
        raise BadInput(f"{source} holds no photos: give a folder of JPEG or PNG files, or a video")
    if options.matching.similar:
        embedding_encoder(options.encoder, options.device)


def _settings(options: BuildOptions) -> dict[str, Any]:
    """What the work in progress depends on."""
    return {
        "selection": asdict(options.selection),
        "cameras": asdict(options.cameras),
        "matching": asdict(options.matching),
        "encoder": options.encoder,
        "max_features": options.max_features,
        "max_side": options.max_side,
        "seed": options.seed,
    }


def _too_few(source: Path, photos: PhotoSet) -> str:
    what = f"{source}: {len(photos)} photos are too few for a map, it needs at least {FEWEST_PHOTOS}"
    if source.is_file():
        return f"{what}; {photos.words}: film a longer walk, or raise --fps"
    first = f"; {len(photos.left_out)} cannot be read, first: {photos.left_out[0].reason}" if photos.left_out else ""
    return f"{what}{first}"
