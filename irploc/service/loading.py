"""Scenes are loaded, and read again while they answer."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from irploc.encoders import Encoder
from irploc.errors import BadInput, IrplocError, NotFound
from irploc.estimators.build import Place, available_methods, default_method, open_place
from irploc.floormap import FloorMap
from irploc.images import SUFFIXES
from irploc.localizer import Localizer, Served
from irploc.localizer.current import check_map, scene_now
from irploc.localizer.decoding import DecodedPhoto, decode_photo
from irploc.localizer.localizer import encode_together, served_by
from irploc.localizer.opening import check_floor_map, encoder_of, up_of_scene
from irploc.service.hosting import NO_FLOOR, HostedScene, Hosting, HostingOptions
from irploc.workspace import Workspace

_WARMING_SIZE = (640, 480)
_OF_FLOOR_MAPS = (".toml", ".yaml", ".yml")


class Loaded(NamedTuple):
    """What could be read, and by name what could not and why.

    Attributes:
        hosting: all scenes, those that could not be read as they were.
        read: names of those that were read.
        failed: name -> reason.
    """

    hosting: Hosting
    read: tuple[str, ...]
    failed: dict[str, str]


def bound(options: HostingOptions) -> HostingOptions:
    """With the scene of every floor map, as it is clear now; scenes that come later do not make it unclear.

    Raises:
        BadInput, NotFound: for scenes that are not embedded, or that clients could not tell apart; for a floor map of no
        scene, or of which it is not clear of which.
    """
    names = _names(options)
    twice = [name for name, count in Counter(Path(name).name for name in names).items() if count > 1]
    if twice:
        raise BadInput(f"{twice[0]!r} stands for several of {', '.join(names)}: clients know scenes by that name, serve one")
    for name in names:
        _check_embedded(options.workspace, name)
    floors = _floors_by_scene(options.floor_maps, names)
    return dataclasses.replace(options, floor_maps=tuple((name, path) for name in floors for path in floors[name]))


def load_hosting(options: HostingOptions, before: Hosting | None = None) -> Loaded:
    """Reads every scene from its files.

    Args:
        options: which.
        before: what answered until now; its encoders are used again, and a scene that cannot be read any more, or not
            with a method that it had, stays as it was. None lets the first error through.

    Raises:
        NotFound, BadInput, Mismatch: when a scene, a method that was named, or a floor map cannot be loaded.
    """
    names = _names(options)
    floor_maps = options.floor_maps
    if before is not None:  # the scene of a floor map may have gone since
        floor_maps = tuple((name, path) for name, path in floor_maps if name in ("", *names))
    floors = _floors_by_scene(floor_maps, names)
    encoders = [] if before is None else [hosted.encoder for hosted in before]
    hosted: dict[str, HostedScene] = {}
    failed: dict[str, str] = {}
    for name in names:
        short = Path(name).name
        old = None if before is None else before.scenes.get(short)
        try:
            one = _unless_lost(load_scene(options, name, floors.get(name, []), encoders), old)
            hosted[one.name], encoders = one, [*encoders, one.encoder]
        except IrplocError as error:
            if before is None:
                raise
            failed[short] = str(error)
            if old is not None:
                hosted[short] = old
    if not hosted:
        raise NotFound("no scene could be read again")
    return Loaded(Hosting(hosted), tuple(name for name in hosted if name not in failed), failed)


def reload_scene(options: HostingOptions, before: Hosting, name: str) -> HostedScene:
    """One of the scenes read again from its files.

    Raises:
        NotFound, BadInput, Mismatch: when it cannot be loaded, or not with a method that it had.
    """
    old = before.scene(name)
    typed = next((one for one in options.scenes if Path(one).name == name), name)
    floors = [path for scene, path in options.floor_maps if scene in ("", typed, name)]
    encoders = [hosted.encoder for hosted in before]
    return _unless_lost(load_scene(options, typed, floors, encoders), old)


def changes(before: HostedScene | None, now: HostedScene) -> list[str]:
    """What is not as it was, in words."""
    if before is None:
        return ["new"]
    found = []
    gone, come = ([m for m in a.served if m not in b.served] for a, b in ((before, now), (now, before)))
    if gone:
        found.append(f"no longer answers by {', '.join(gone)}, which is not there any more")
    if come:
        found.append(f"answers by {', '.join(come)} too")
    if before.default_method != now.default_method:
        found.append(f"the default is {now.default_method}, was {before.default_method}")
    return found


def _unless_lost(now: HostedScene, before: HostedScene | None) -> HostedScene:
    """The scene; raises BadInput where a method cannot be loaded that answered until now."""
    for method, reason in now.skipped.items():
        if before is not None and method in before.served:
            raise BadInput(f"{method}: {reason}")
    return now


def _names(options: HostingOptions) -> list[str]:
    return list(options.scenes or options.workspace.scenes_to_search())


def _check_embedded(home: Workspace, typed: str) -> None:
    path = home.embeddings_of(typed)
    if not path.is_file():
        there = f"the workspace {home.root.resolve()} has {', '.join(home.embedded_scenes()) or 'none'}"
        raise NotFound(f"no embeddings file {path}: {there}; make it with 'irploc embed {typed}'")


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
        _check_no_picture(path)
        if not scene and len(scenes) > 1:
            raise BadInput(f"{path}: say of which scene it is, --floor-map {scenes[0]}={path}")
        if scene and scene not in scenes:
            raise NotFound(f"--floor-map {scene}={path}: no scene {scene!r}, there are {', '.join(scenes)}")
        listed = found.setdefault(scene or scenes[0], [])
        if path.stem in (NO_FLOOR, *(other.stem for other in listed)):
            raise BadInput(f"{path}: a floor map is known by the stem of its file, choose another one than {path.stem!r}")
        listed.append(path)
    return found


def _check_no_picture(path: Path) -> None:
    """Raises BadInput for the plan or mask of a floor map, with the file that names it where it lies beside it."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return
    stem = path.stem.removesuffix(".walkable")
    beside = next((file for end in _OF_FLOOR_MAPS if (file := path.with_name(stem + end)).is_file()), None)
    wanted = "a floor map's TOML file" if beside is None else f"{beside}, the floor map beside it"
    raise BadInput(f"{path} is a picture: give {wanted}")
