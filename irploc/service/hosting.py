"""``Hosting``: the scenes that are answered for, with their methods and floor maps; replaced whole, never changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from irploc.encoders import Encoder
from irploc.errors import BadInput, NotFound
from irploc.estimators.build import Place
from irploc.floormap import FloorMap
from irploc.localizer import Localizer, Served
from irploc.retrieval.store import StoreHeader
from irploc.scene import Scene
from irploc.workspace import Workspace

NO_FLOOR = "none"


@dataclass(frozen=True)
class HostingOptions:
    """What is loaded.

    Attributes:
        workspace: where scenes, embeddings and models lie.
        scenes: their names; empty takes all that are embedded.
        methods: as users type them; empty takes those whose artifacts are there.
        floor_maps: (scene, file); an empty scene stands for the only one.
        encoder, device: as ``Localizer.open``.
    """

    workspace: Workspace
    scenes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    floor_maps: tuple[tuple[str, Path], ...] = ()
    encoder: str | None = None
    device: str = "auto"


@dataclass(frozen=True, eq=False)
class HostedScene:
    """One scene, ready to answer.

    Attributes:
        name: of its place.
        scene: its folder as it is now; None where it is gone and the embeddings alone are here.
        encoder: shared with the other scenes that were embedded alike.
        served: method -> what answers, without a floor map.
        default_method: of requests that name none.
        floor_maps: name -> where one can walk; the first is the default.
        skipped: methods that could not be loaded, and why.
    """

    name: str
    scene: Scene | None
    encoder: Encoder
    served: Mapping[str, Served]
    default_method: str
    floor_maps: Mapping[str, FloorMap]
    skipped: Mapping[str, str]

    @property
    def place(self) -> Place:
        """Its embeddings' header, its mapping photos and their index."""
        return next(iter(self.served.values())).place

    @property
    def header(self) -> StoreHeader:
        """Of its embeddings."""
        return self.place.store.header

    @property
    def default_floor_map(self) -> str:
        """Name of the floor map of requests that name none; ``none`` where there is none."""
        return next(iter(self.floor_maps), NO_FLOOR)

    def has(self, method: str | None, floor_map: str | None) -> bool:
        """Whether these are loaded; None stands for the default."""
        return method in (None, *self.served) and floor_map in (None, NO_FLOOR, *self.floor_maps)

    def answering(self, method: str | None, floor_map: str | None) -> Served:
        """What answers a request.

        Raises:
            NotFound: for a method or floor map that is not loaded.
        """
        chosen = method or self.default_method
        if chosen not in self.served:
            raise NotFound(f"no method {chosen!r} in scene {self.name}: choose one of {', '.join(self.served)}")
        floor = floor_map or self.default_floor_map
        if floor == NO_FLOOR:
            return self.served[chosen]
        if floor not in self.floor_maps:
            known = ", ".join([*self.floor_maps, NO_FLOOR])
            raise NotFound(f"no floor map {floor!r} in scene {self.name}: choose one of {known}")
        on = self.floor_maps[floor]
        return dataclasses.replace(self.served[chosen], floor_map=on, up=on.up)


@dataclass(frozen=True)
class Hosting:
    """All scenes; never changed, but replaced by another one when a scene is loaded anew."""

    scenes: Mapping[str, HostedScene]
    _localizers: dict[tuple[str | None, ...], Localizer] = field(default_factory=dict, compare=False, repr=False)

    def __iter__(self) -> Iterator[HostedScene]:
        return iter(self.scenes.values())

    def scene(self, name: str) -> HostedScene:
        """The scene of that name.

        Raises:
            NotFound: naming those there are.
        """
        if name not in self.scenes:
            raise NotFound(f"no scene {name!r}: choose one of {', '.join(self.scenes)}")
        return self.scenes[name]

    def localizer(self, scene: str | None, method: str | None, floor_map: str | None) -> Localizer:
        """What answers a request: one scene, or of those that have the method and floor map the one that fits best.

        Raises:
            NotFound: for names that are not loaded. BadInput: where no scene is named and those that could answer do not
            share an encoder.
        """
        key = (scene, method, floor_map)
        if key not in self._localizers:
            asked = [self.scene(scene)] if scene else self._able(method, floor_map)
            if not _comparable(asked):
                raise BadInput(
                    f"there are scenes that were embedded in different ways: choose one of {', '.join(self.scenes)}"
                )
            answering = [hosted.answering(method, floor_map) for hosted in asked]
            self._localizers[key] = Localizer(answering, asked[0].encoder)
        return self._localizers[key]

    @property
    def comparable(self) -> bool:
        """Whether one encoding of a photo can be asked of every scene; else requests must name theirs."""
        return _comparable(list(self))

    def _able(self, method: str | None, floor_map: str | None) -> list[HostedScene]:
        """The scenes that have what was named; all where none has, so that the first says what there is."""
        return [hosted for hosted in self if hosted.has(method, floor_map)] or list(self)

    def replaced(self, hosted: HostedScene) -> Hosting:
        """With one scene loaded anew."""
        return Hosting({**self.scenes, hosted.name: hosted})


def _comparable(scenes: Sequence[HostedScene]) -> bool:
    return len({(id(hosted.encoder), hosted.header.max_side) for hosted in scenes}) <= 1
