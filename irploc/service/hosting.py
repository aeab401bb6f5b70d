"""``Hosting``: the scenes that are answered for, with their methods and floor maps, loaded once and replaced whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from irploc.encoders import Encoder
from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place, available_methods, default_method, open_place
from irploc.floormap import FloorMap
from irploc.localizer import Localizer, Served
from irploc.localizer.current import check_map, scene_now
from irploc.localizer.localizer import served_by
from irploc.localizer.opening import check_floor_map, encoder_of, up_of_scene
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


@dataclass(frozen=True)
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
        """What answers a request: one scene, or the one that fits best where none is named.

        Raises:
            NotFound: for names that are not loaded. BadInput: where no scene is named and they do not share an encoder.
        """
        key = (scene, method, floor_map)
        if key not in self._localizers:
            asked = [self.scene(scene)] if scene else list(self)
            if len({(id(hosted.encoder), hosted.header.max_side) for hosted in asked}) > 1:
                raise BadInput(
                    f"there are scenes that were embedded in different ways: choose one of {', '.join(self.scenes)}"
                )
            answering = [hosted.answering(method, floor_map) for hosted in asked]
            self._localizers[key] = Localizer(answering, asked[0].encoder)
        return self._localizers[key]

    def replaced(self, hosted: HostedScene) -> Hosting:
        """With one scene loaded anew."""
        return Hosting({**self.scenes, hosted.name: hosted})


def load_hosting(options: HostingOptions) -> Hosting:
    """Loads every scene.

    Raises:
        NotFound, BadInput, Mismatch: when a scene, a method that was named, or a floor map cannot be loaded.
    """
    names = list(options.scenes or options.workspace.scenes_to_search())
    floors = _floors_by_scene(options.floor_maps, names)
    hosted: list[HostedScene] = []
    for name in names:
        hosted.append(load_scene(options, name, floors.get(name, []), [one.encoder for one in hosted]))
    return Hosting({one.name: one for one in hosted})


def reload_scene(options: HostingOptions, hosting: Hosting, name: str) -> Hosting:
    """The same scenes, one of them read again from its files.

    Raises:
        NotFound, BadInput, Mismatch: when it cannot be loaded; ``hosting`` stays what it was.
    """
    hosting.scene(name)
    typed = list(options.scenes or options.workspace.scenes_to_search())
    floors = _floors_by_scene(options.floor_maps, typed)
    as_typed = next((one for one in typed if Path(one).name == name), name)
    encoders = [one.encoder for one in hosting]
    return hosting.replaced(load_scene(options, as_typed, floors.get(as_typed, []), encoders))


def load_scene(options: HostingOptions, name: str, floor_maps: Sequence[Path], encoders: Sequence[Encoder]) -> HostedScene:
    """Loads one scene; of ``encoders`` the one that made its embeddings is shared."""
    place = open_place(options.workspace, name)
    try:
        scene = scene_now(options.workspace, name, place.store)
        note = check_map(place.store, scene) if scene else ""
        maps = {path.stem: check_floor_map(FloorMap.load(path), place) for path in floor_maps}
        encoder = _shared(encoder_of(place, options.encoder, options.device), encoders)
        served: dict[str, Served] = {}
        skipped: dict[str, str] = {}
        default = options.methods[0] if options.methods else default_method(place)
        for method in options.methods or dict.fromkeys([default, *available_methods(place)]):
            try:
                served[method] = served_by(place, method, up_of_scene(scene), note)
            except IrplocError as error:
                if options.methods or method == default:
                    raise
                skipped[method] = str(error)
        return HostedScene(place.name, scene, encoder, served, default, maps, skipped)
    finally:
        place.store.close()


def _shared(encoder: Encoder, others: Sequence[Encoder]) -> Encoder:
    """Of encoders that give the same vectors, one: their photos are encoded together."""
    identity = (encoder.weights_sha256, encoder.preprocessing, encoder.options)
    same = (one for one in others if (one.weights_sha256, one.preprocessing, one.options) == identity)
    return next(same, encoder)


def _floors_by_scene(floor_maps: Sequence[tuple[str, Path]], scenes: Sequence[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for scene, path in floor_maps:
        if not scene and len(scenes) > 1:
            raise BadInput(f"{path}: say of which scene it is, --floor-map {scenes[0]}={path}")
        if scene and scene not in scenes:
            raise NotFound(f"--floor-map {scene}={path}: no scene {scene!r}, there are {', '.join(scenes)}")
        listed = found.setdefault(scene or scenes[0], [])
        if path.stem in (NO_FLOOR, *(other.stem for other in listed)):
            raise BadInput(f"{path}: a floor map is known by the stem of its file, choose another one than {path.stem!r}")
        listed.append(path)
    return found
