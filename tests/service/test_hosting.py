"""What is loaded, what is skipped, and how a scene is read again."""

from __future__ import annotations

import dataclasses
import gc
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_place import TinyEncoder
from tiny_service import hosting_options, make_workspace, photo_bytes, sent

from irploc.errors import BadInput, IrplocError, NotFound
from irploc.floormap import FloorMap
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.hosting import HostingOptions
from irploc.service.loading import bound, changes, load_hosting, reload_scene, warm
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("made") / "home", ("hall", "attic")).root


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Workspace:
    shutil.copytree(made, tmp_path / "home")
    return Workspace(tmp_path / "home")


def floor_file(folder: Path, name: str = "plan", metres: float = 40.0) -> Path:
    """Everything within some metres of the origin is walkable, seen from above along y."""
    side = int(2 * metres)
    FloorMap(np.ones((side, side), dtype=bool), 1.0, (-metres, -metres), up="y").save(folder / f"{name}.toml")
    return folder / f"{name}.toml"


def broken_model(home: Workspace, name: str) -> Path:
    """A method that is there, and cannot be loaded."""
    path = home.model(name, "posenet")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"no model")
    return path


def train_photo_removed(home: Workspace, name: str) -> None:
    """The scene without its first mapping photo, embedded again."""
    folder = home.root / "scenes" / name
    scene = Scene.load(folder)
    smaller = Scene(name, scene.image_root, scene.frames[list(range(1, len(scene.frames)))], ground_truth="invented")
    shutil.rmtree(folder)
    smaller.save(folder)
    home.embeddings(name).unlink()
    embed_scene(smaller, folder, home.embeddings(name), TinyEncoder(), EmbedOptions(augmentations=0))


def test_all_embedded_scenes_and_all_methods_with_artifacts_are_loaded_where_none_is_named(home: Workspace) -> None:
    hosting = load_hosting(HostingOptions(home)).hosting
    assert list(hosting.scenes) == ["attic", "hall"]
    hall = hosting.scene("hall")
    assert hall.default_method == "robust"
    assert set(hall.served) == {"robust", "nearest", "ewb:k=6", "csi:k=6", "bdi:k=6"}
    assert hall.default_floor_map == "none"


def test_scenes_embedded_alike_share_an_encoder_so_that_their_photos_are_encoded_together(home: Workspace) -> None:
    hosting = load_hosting(hosting_options(home)).hosting
    assert hosting.scene("hall").encoder is hosting.scene("attic").encoder
    answer = hosting.localizer(None, None, None).localize([sent("a")])[0]
    assert answer.scene in ("hall", "attic")


def test_warming_up_asks_every_method_once_for_one_photo(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from irploc.estimators.interpolation import Interpolation

    asked: list[int] = []
    estimate = Interpolation.estimate

    def noting(self: Any, query: Any) -> Any:
        asked.append(len(query))
        return estimate(self, query)

    monkeypatch.setattr(Interpolation, "estimate", noting)
    hosting = load_hosting(hosting_options(home, scenes=("hall",))).hosting
    asked.clear()
    warm(hosting.scene("hall"))
    assert asked == [1, 1]
    encoder = hosting.scene("hall").encoder
    assert isinstance(encoder, TinyEncoder) and encoder.encoded == [1]


def test_names_that_are_not_loaded_are_refused_with_those_that_are(home: Workspace, tmp_path: Path) -> None:
    plan = floor_file(tmp_path)
    hosting = load_hosting(hosting_options(home, scenes=("hall",), floor_maps=(("", plan),))).hosting
    with pytest.raises(NotFound, match=r"^no scene 'cellar': choose one of hall$"):
        hosting.localizer("cellar", None, None)
    with pytest.raises(NotFound, match=r"^no method 'bdi' in scene hall: choose one of nearest, ewb:k=2$"):
        hosting.localizer("hall", "bdi", None)
    with pytest.raises(NotFound, match=r"^no floor map 'other' in scene hall: choose one of plan, none$"):
        hosting.localizer("hall", None, "other")


def test_the_first_floor_map_answers_unless_another_or_none_is_named(home: Workspace, tmp_path: Path) -> None:
    wide, narrow = floor_file(tmp_path, "wide"), floor_file(tmp_path, "narrow", 30.0)
    options = hosting_options(home, scenes=("hall",), floor_maps=(("hall", wide), ("", narrow)))
    hosting = load_hosting(options).hosting
    widths = {}
    for name in (None, "wide", "narrow"):
        floor = hosting.localizer("hall", None, name).scenes[0].floor_map
        assert floor is not None
        widths[name] = floor.grid.width
    assert widths == {None: 80, "wide": 80, "narrow": 60}
    assert hosting.localizer("hall", None, "none").scenes[0].floor_map is None
    assert hosting.localizer("hall", None, "wide") is hosting.localizer("hall", None, "wide"), "so that photos are grouped"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([("", "plan")], "say of which scene it is, --floor-map attic="),
        ([("cellar", "plan")], "no scene 'cellar', there are attic, hall"),
        ([("hall", "plan"), ("hall", "plan")], "choose another one than 'plan'"),
    ],
)
def test_floor_maps_of_no_scene_or_of_one_name_are_refused(
    home: Workspace, tmp_path: Path, given: list[tuple[str, str]], words: str
) -> None:
    floors = tuple((scene, floor_file(tmp_path, stem)) for scene, stem in given)
    with pytest.raises(IrplocError, match=words):
        load_hosting(hosting_options(home, floor_maps=floors))


def test_scenes_that_clients_could_not_tell_apart_are_refused(home: Workspace) -> None:
    with pytest.raises(BadInput, match=r"^'hall' stands for several of hall, .*hall: clients know"):
        bound(hosting_options(home, scenes=("hall", str(home.root / "scenes" / "hall"))))


def test_a_scene_that_is_not_embedded_is_told_with_those_that_are(home: Workspace) -> None:
    with pytest.raises(NotFound) as missing:
        bound(hosting_options(home, scenes=("hall", "cellar")))
    path, root = home.embeddings("cellar"), home.root.resolve()
    expected = f"no embeddings file {path}: the workspace {root} has attic, hall; make it with 'irploc embed cellar'"
    assert str(missing.value) == expected
    folder = str(home.root / "scenes" / "hall")
    assert bound(hosting_options(home, scenes=(folder,))).scenes == (folder,)


@pytest.mark.parametrize(
    ("picture", "advice"),
    [
        ("plan.png", "give {folder}/plan.toml, the floor map beside it"),
        ("plan.walkable.png", "give {folder}/plan.toml, the floor map beside it"),
        ("other.JPG", "give a floor map's TOML file"),
    ],
)
def test_a_picture_in_the_place_of_a_floor_map_is_told(home: Workspace, tmp_path: Path, picture: str, advice: str) -> None:
    floor_file(tmp_path, "plan")
    (tmp_path / picture).write_bytes(photo_bytes())
    with pytest.raises(BadInput) as refused:
        bound(hosting_options(home, scenes=("hall",), floor_maps=(("hall", tmp_path / picture),)))
    assert str(refused.value) == f"{tmp_path / picture} is a picture: {advice.format(folder=tmp_path)}"


def test_a_floor_map_that_is_missing_when_its_scene_is_read_again_keeps_the_old_one(home: Workspace, tmp_path: Path) -> None:
    plan = floor_file(tmp_path)
    options = bound(hosting_options(home, floor_maps=(("hall", plan),)))
    before = load_hosting(options).hosting
    plan.unlink()
    loaded = load_hosting(options, before)
    assert loaded.hosting.scene("hall") is before.scene("hall")
    assert loaded.read == ("attic",) and f"no floor map {plan}" in loaded.failed["hall"]


def test_a_model_that_cannot_be_read_is_skipped_unless_it_was_named(home: Workspace) -> None:
    broken = broken_model(home, "hall")
    hall = load_hosting(HostingOptions(home, scenes=("hall",))).hosting.scene("hall")
    assert "posenet" not in hall.served
    assert "posenet" in hall.skipped and str(broken) in hall.skipped["posenet"]
    with pytest.raises(IrplocError, match="posenet"):
        load_hosting(HostingOptions(home, scenes=("hall",), methods=("posenet",)))


def test_scenes_embedded_in_different_ways_must_be_named(home: Workspace) -> None:
    scene = Scene.load(home.root / "scenes" / "attic")
    home.embeddings("attic").unlink()
    options = EmbedOptions(augmentations=0, max_side=16)
    embed_scene(scene, home.root / "scenes" / "attic", home.embeddings("attic"), TinyEncoder(), options)
    hosting = load_hosting(hosting_options(home)).hosting
    assert not hosting.comparable
    with pytest.raises(BadInput, match="embedded in different ways: choose one of attic, hall"):
        hosting.localizer(None, None, None)
    assert hosting.localizer("attic", None, None).max_side == 16


def test_a_scene_is_read_again_with_the_encoder_that_is_loaded(home: Workspace) -> None:
    options = hosting_options(home)
    before = load_hosting(options).hosting
    train_photo_removed(home, "hall")
    fresh = reload_scene(options, before, "hall")
    after = before.replaced(fresh)
    assert len(after.scene("hall").place.index.frames) == len(before.scene("hall").place.index.frames) - 1
    assert after.scene("hall").encoder is before.scene("hall").encoder
    assert after.scene("attic") is before.scene("attic")
    assert after.localizer("hall", None, None) is not before.localizer("hall", None, None)


def test_a_scene_that_cannot_be_read_any_more_stays_and_new_ones_come(home: Workspace) -> None:
    options = hosting_options(home)
    before = load_hosting(options).hosting
    home.embeddings("hall").write_bytes(b"no embeddings")
    shutil.copytree(home.root / "scenes" / "attic", home.root / "scenes" / "loft")
    shutil.copy(home.embeddings("attic"), home.embeddings("loft"))
    loaded = load_hosting(options, before)
    assert set(loaded.failed) == {"hall"}
    assert loaded.hosting.scene("hall") is before.scene("hall")
    assert len(loaded.hosting.scenes) >= 2
    with pytest.raises(IrplocError):
        load_hosting(options)


def test_a_scene_stays_when_a_method_that_it_had_cannot_be_loaded_any_more(home: Workspace) -> None:
    options = HostingOptions(home)
    before = load_hosting(options).hosting
    with_posenet = dataclasses.replace(
        before.scene("hall"), served={**before.scene("hall").served, "posenet": before.scene("hall").served["nearest"]}
    )
    broken = broken_model(home, "hall")
    loaded = load_hosting(options, before.replaced(with_posenet))
    assert loaded.hosting.scene("hall") is with_posenet
    assert str(broken) in loaded.failed["hall"] and loaded.read == ("attic",)
    with pytest.raises(BadInput, match=r"^posenet: "):
        reload_scene(options, before.replaced(with_posenet), "hall")
    assert reload_scene(options, before, "hall").skipped, "one that never answered keeps nobody from reading again"


def test_what_changed_is_told(home: Workspace) -> None:
    hall = load_hosting(HostingOptions(home)).hosting.scene("hall")
    fewer = dataclasses.replace(
        hall, served={name: hall.served[name] for name in ("nearest", "ewb:k=6")}, default_method="nearest"
    )
    assert changes(hall, hall) == []
    assert changes(None, hall) == ["new"]
    assert changes(hall, fewer) == [
        "no longer answers by robust, csi:k=6, bdi:k=6, which is not there any more",
        "the default is nearest, was robust",
    ]
    assert changes(fewer, hall) == ["answers by robust, csi:k=6, bdi:k=6 too", "the default is robust, was nearest"]


def test_a_floor_map_stays_with_its_scene_when_others_come_and_when_it_goes(home: Workspace, tmp_path: Path) -> None:
    home.embeddings("attic").rename(tmp_path / "attic.h5")
    options = bound(hosting_options(home, floor_maps=(("", floor_file(tmp_path)),)))
    before = load_hosting(options).hosting
    assert list(before.scenes) == ["hall"]
    (tmp_path / "attic.h5").rename(home.embeddings("attic"))
    both = load_hosting(options, before).hosting
    assert {name: list(hosted.floor_maps) for name, hosted in both.scenes.items()} == {"attic": [], "hall": ["plan"]}
    assert list(reload_scene(options, both, "hall").floor_maps) == ["plan"]
    assert not reload_scene(options, both, "attic").floor_maps
    home.embeddings("hall").unlink()
    assert list(load_hosting(options, both).hosting.scenes) == ["attic"]


def test_of_scenes_that_are_not_named_those_answer_that_have_what_is_named(home: Workspace, tmp_path: Path) -> None:
    hosting = load_hosting(hosting_options(home, floor_maps=(("hall", floor_file(tmp_path)),))).hosting
    attic = hosting.scene("attic")
    hosting = hosting.replaced(dataclasses.replace(attic, served={"nearest": attic.served["nearest"]}))
    asked = {
        named: [served.place.name for served in hosting.localizer(None, *named).scenes]
        for named in ((None, None), ("nearest", None), ("ewb:k=2", None), (None, "plan"), (None, "none"))
    }
    assert asked == {
        (None, None): ["attic", "hall"],
        ("nearest", None): ["attic", "hall"],
        ("ewb:k=2", None): ["hall"],
        (None, "plan"): ["hall"],
        (None, "none"): ["attic", "hall"],
    }
    with pytest.raises(NotFound, match="no method 'bdi' in scene attic"):
        hosting.localizer(None, "bdi", None)


def test_what_was_replaced_is_freed(home: Workspace) -> None:
    options = hosting_options(home)
    hosting = load_hosting(options).hosting
    hosting.localizer("hall", None, None).localize([sent("a", photo_bytes())])
    old = weakref.ref(hosting.scene("hall").place.index)
    hosting = hosting.replaced(reload_scene(options, hosting, "hall"))
    gc.collect()
    assert old() is None
