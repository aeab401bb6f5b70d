"""``Hosting``: the scenes that are answered for, with their methods and floor maps, loaded once and replaced whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from irploc.encoders import Encoder
from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place, available_methods, default_method, open_place
from irploc.floormap import FloorMap
from irploc.localizer import Localizer, Served
from irploc.localizer.current import check_map, scene_now
from irploc.localizer.decoding import DecodedPhoto, decode_photo
from irploc.localizer.localizer import encode_together, served_by
from irploc.localizer.opening import check_floor_map, encoder_of, up_of_scene
from irploc.retrieval.store import StoreHeader
from irploc.scene import Scene
from irploc.workspace import Workspace

NO_FLOOR = "none"
_WARMING_SIZE = (640, 480)


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


class Loaded(NamedTuple):
    """What could be read, and by name what could not and why."""

    hosting: Hosting
    failed: dict[str, str]


def load_hosting(options: HostingOptions, before: Hosting | None = None) -> Loaded:
    """Reads every scene from its files.

    Args:
        options: which.
        before: what answered until now; its encoders are used again, and a scene that cannot be read any more stays as it
            was. None lets the first error through.

    Raises:
        NotFound, BadInput, Mismatch: when a scene, a method that was named, or a floor map cannot be loaded.
    """
    names = list(options.scenes or options.workspace.scenes_to_search())
    floors = _floors_by_scene(options.floor_maps, names)
    encoders = [] if before is None else [hosted.encoder for hosted in before]
    hosted: dict[str, HostedScene] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            one = load_scene(options, name, floors.get(name, []), encoders)
            hosted[one.name], encoders = one, [*encoders, one.encoder]
        except IrplocError as error:
            if before is None:
                raise
            short = Path(name).name
            failed[short] = str(error)
            if short in before.scenes:
                hosted[short] = before.scenes[short]
    if not hosted:
        raise NotFound("no scene could be read again")
    return Loaded(Hosting(hosted), failed)


def reload_scene(options: HostingOptions, before: Hosting, name: str) -> HostedScene:
    """One of the scenes read again from its files.

    Raises:
        NotFound, BadInput, Mismatch: when it cannot be loaded.
    """
    before.scene(name)
    typed = list(options.scenes or options.workspace.scenes_to_search())
    floors = _floors_by_scene(options.floor_maps, typed)
    as_typed = next((one for one in typed if Path(one).name == name), name)
    return load_scene(options, as_typed, floors.get(as_typed, []), [hosted.encoder for hosted in before])


def load_scene(options: HostingOptions, name: str, floor_maps: Sequence[Path], encoders: Sequence[Encoder]) -> HostedScene:
    """One scene; of ``encoders`` the one that made its embeddings is shared."""
    place = open_place(options.workspace, name)
    try:
        scene = scene_now(options.workspace, name, place.store)
        note = check_map(place.store, scene) if scene else ""
        maps = {path.stem: check_floor_map(FloorMap.load(path), place) for path in floor_maps}
        encoder = _of_those(encoders, place) or encoder_of(place, options.encoder, options.device)
        served, default, skipped = _methods(options, place, up_of_scene(scene), note)
        return HostedScene(place.name, scene, encoder, served, default, maps, skipped)
    finally:
        place.store.close()


def _methods(
    options: HostingOptions, place: Place, up: str | None, note: str
) -> tuple[dict[str, Served], str, dict[str, str]]:
    """What answers by method, the default, and what could not be loaded; what was named, and the default, must load."""
    served: dict[str, Served] = {}
    skipped: dict[str, str] = {}
    default = options.methods[0] if options.methods else default_method(place)
    for method in options.methods or dict.fromkeys([default, *available_methods(place)]):
        try:
            served[method] = served_by(place, method, up, note)
        except IrplocError as error:
            if options.methods or method == default:
                raise
            skipped[method] = str(error)
    return served, default, skipped


def _of_those(encoders: Sequence[Encoder], place: Place) -> Encoder | None:
    """The one that gives the vectors of a place's embeddings, so that its photos and the others' are encoded together."""
    header = place.store.header
    wanted = (header.weights_sha256, header.preprocessing, header.precision)
    same = (one for one in encoders if (one.weights_sha256, one.preprocessing, one.options.precision) == wanted)
    return next(same, None)


def warm(hosted: HostedScene) -> None:
    """Asks every method once: what is loaded or compiled on first use is there before anybody waits for it.

    Encoders and methods are not made for several threads: to be run where nothing else uses them.
    """
    photo = _some_photo(hosted)
    if min(photo.shape[1:], default=0) < hosted.encoder.minimum_side:
        return
    embedding = encode_together(hosted.encoder, [photo])
    for served in hosted.served.values():
        with suppress(IrplocError):  # the photo may be refused; that is an answer too
            Localizer([served], hosted.encoder).estimate(embedding, [photo.source], [None], [photo.in_full_size])


def _some_photo(hosted: HostedScene) -> DecodedPhoto:
    """A mapping photo, or a grey one of its size where it is not here any more."""
    frames, cameras = hosted.place.index.frames, hosted.place.store.cameras
    photo = decode_photo(frames.images[0], "", hosted.place.max_side)
    if photo.error is None:
        return photo
    camera = cameras.get(frames.cameras[0])
    size = (camera.width, camera.height) if camera else _WARMING_SIZE
    return decode_photo(Image.new("RGB", size, "grey"), "", hosted.place.max_side)


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
