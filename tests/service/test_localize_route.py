from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from click.testing import CliRunner
from PIL import Image
from structure.depth_map_of_room import OPTIONS, make_room
from tiny_place import TinyEncoder
from toy_service import encoded, photo_files, picture, serving

from irploc.cli import main
from irploc.floormap import GrowOptions, grow_floor_map
from irploc.images import EncodedPhoto
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.service.keeping import Keeper
from irploc.service.options import ServiceOptions
from irploc.structure.mapfile import save_map
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
METHODS = ("nearest", "bdi:k=10", "structure")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    room = make_room(tmp_path_factory.mktemp("rendered") / "room")
    home = Workspace(tmp_path_factory.mktemp("workspace"))
    embed_scene(room.scene, room.folder, home.embeddings("room"), TinyEncoder(), EmbedOptions(augmentations=0))
    save_map(room.point_map, home.model("room", "structure"))
    grow_floor_map(room.scene, GrowOptions(0.2, up="z")).save(home.root / "walk.toml")
    return home


@pytest.fixture(scope="module")
def kept(home: Workspace) -> Path:
    return home.root / "kept"


@pytest.fixture(scope="module")
def client(home: Workspace, kept: Path) -> Iterator[httpx.Client]:
    floors = (("", home.root / "walk.toml"),)
    with serving(home, ServiceOptions(keep_uploads=kept), methods=METHODS, floor_maps=floors) as client:
        yield client


@pytest.fixture(scope="module")
def photos(home: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of the room: a test photo as it is, turned by EXIF, and one that tells its focal length."""
    folder = tmp_path_factory.mktemp("photos")
    source = sorted((home.root.parent).glob("rendered*/room/**/*.*"))
    pictures = [path for path in source if path.suffix in (".jpg", ".png") and "depth" not in path.name]
    upright = Image.open(pictures[-1]).convert("RGB")
    turned, told = Image.Exif(), Image.Exif()
    turned[0x0112] = 6
    told.get_ifd(0x8769)[0xA405] = round(max(OPTIONS.camera.focal_px) / OPTIONS.camera.width * 36)
    paths = {name: folder / f"{name}.jpg" for name in ("plain", "turned", "told")}
    upright.save(paths["plain"], quality=95)
    upright.transpose(Image.Transpose.ROTATE_90).save(paths["turned"], quality=95, exif=turned)
    upright.save(paths["told"], quality=95, exif=told)
    return paths


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {**answer, "image": "", "timing_ms": sorted(answer["timing_ms"])}


@pytest.mark.parametrize("photo", ["plain", "turned", "told"])
@pytest.mark.parametrize(
    ("method", "floor", "focal"),
    [
        ("nearest", False, None),
        ("bdi:k=10", True, None),
        ("structure", False, None),
        ("structure", True, max(OPTIONS.camera.focal_px)),
    ],
)
def test_the_service_says_what_the_command_says(
    client: httpx.Client, home: Workspace, photos: dict[str, Path], photo: str, method: str, floor: bool, focal: float | None
) -> None:
    path = photos[photo]
    typed = ["--workspace", str(home.root), "localize", str(path), "--json", "--method", method]
    fields = {"method": method, "floor_map": "walk" if floor else "none"}
    if floor:
        typed += ["--floor-map", str(home.root / "walk.toml")]
    if focal is not None:
        typed += ["--focal", repr(focal)]
        fields["focal"] = repr(focal)
    said = CliRunner().invoke(main, typed, catch_exceptions=False)
    assert said.exit_code == 0, said.output
    answered = client.post("/v1/localize", files=photo_files(path.read_bytes()), data=fields)
    assert answered.status_code == 200, answered.text
    expected = json.loads(said.stdout)
    got = answered.json()["results"][0]
    assert list(got) == list(expected), "the same keys in the same order"
    assert without_times(got) == without_times(expected)
    if focal is not None:
        assert got["camera"]["source"] == "focal"


def test_a_camera_of_the_client_is_used(client: httpx.Client, photos: dict[str, Path]) -> None:
    camera = {
        "model": OPTIONS.camera.model,
        "width": OPTIONS.camera.width,
        "height": OPTIONS.camera.height,
        "params": list(OPTIONS.camera.params),
    }
    fields = {"method": "structure", "camera": json.dumps(camera)}
    answer = client.post("/v1/localize", files=photo_files(photos["plain"].read_bytes()), data=fields).json()["results"][0]
    assert answer["camera"] == {**camera, "source": "given"}


def test_answers_come_as_lines_where_they_are_wanted(client: httpx.Client, photos: dict[str, Path]) -> None:
    files = photo_files(photos["plain"].read_bytes(), photos["turned"].read_bytes())
    answer = client.post("/v1/localize", files=files, data={"method": "nearest"}, headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["image"] for line in answer.text.splitlines()] == ["0.jpg", "1.jpg"]


def test_what_was_answered_is_kept_under_names_of_ours(client: httpx.Client, photos: dict[str, Path], kept: Path) -> None:
    content = photos["plain"].read_bytes()
    files = [("images", ("../../a.jpg", content, "image/jpeg")), ("images", ("b", b"words", "image/jpeg"))]
    told = client.post("/v1/localize", files=files, data={"method": "nearest"}).json()["results"]
    assert [result["status"] for result in told] == ["ok", "refused"]
    assert told[0]["image"] == "../../a.jpg"
    end = time.monotonic() + 5
    while not (found := [path for path in kept.glob("*.json") if json.loads(path.read_text()) == told[0]]):
        assert time.monotonic() < end, "nothing was kept"
        time.sleep(0.01)  # it is written after the answer
    photo = found[0].with_suffix(".jpg")
    assert photo.read_bytes() == content
    assert re.search(r'^irploc_kept_uploads{result="kept"} [1-9]', client.get("/metrics").text, re.MULTILINE)
    assert not any(b"words" in path.read_bytes() for path in kept.iterdir() if path.suffix != ".json")
    assert (kept.stat().st_mode & 0o777, photo.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_full_folder_keeps_what_it_has_and_takes_nothing_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo = EncodedPhoto("a", encoded(picture()))
    keeper = Keeper(tmp_path / "kept", len(photo.content) + 100)
    for _ in range(3):
        keeper.keep([photo], [{"image": "a"}])
    assert (keeper.kept, keeper.full, len(list((tmp_path / "kept").iterdir()))) == (1, 2, 2)
    assert caplog.text.count("is full") == 1
    keeper.keep([EncodedPhoto("small", b"\xff\xd8")], [{}])
    assert (keeper.kept, keeper.full) == (1, 3), "none that would still fit, so that what is kept has no gaps"
    again = Keeper(tmp_path / "kept", len(photo.content) + 100)
    again.keep([photo], [{"image": "a"}])
    assert (again.kept, again.full) == (0, 1), "what is there already counts"


def test_what_cannot_be_kept_fails_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keeper = Keeper(tmp_path / "kept", 10_000_000)
    (tmp_path / "kept").rmdir()
    keeper.keep([EncodedPhoto("a", b"\xff\xd8")], [{"image": "a"}])
    assert (keeper.kept, keeper.failed) == (0, 1)
    assert "could not be kept" in caplog.text
