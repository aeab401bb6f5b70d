"""What is told and shown of scenes, over HTTP."""

from __future__ import annotations

import http.client
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from tiny_place import TinyEncoder, make_scene
from toy_service import serving

from irploc.floormap import FloorMap
from irploc.geometry.poses import Poses
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Frames, Scene
from irploc.service.options import ServiceOptions
from irploc.service.scene_schemas import FloorPlan, SceneDescription, ScenePoints, Scenes, SceneSummary
from irploc.service.schemas import Model
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
SECRET = "taken by somebody"
PHOTO = "first%20floor/photos/walk%20two/b%231.jpg"
# In this order in the file; walked by number. The second walk jumps after its third photo.
ROWS = [
    ("walk two/b#1.jpg", "two", 7, "train", (0.2, 1.5, 0.3)),
    ("walk one/0.jpg", "one", 0, "train", (0.0, 1.5, 0.0)),
    ("walk two/b#0.jpg", "two", 5, "train", (0.0, 1.5, 0.3)),
    ("walk two/b#2.jpg", "two", 8, "train", (0.4, 1.5, 0.3)),
    ("walk two/b#3.jpg", "two", 9, "train", (9.4, 1.5, 0.3)),
    ("walk two/b#4.jpg", "two", 10, "train", (9.6, 1.5, 0.3)),
    ("walk two/test.jpg", "two", 11, "test", (9.8, 1.5, 0.3)),
]


def embedded(home: Workspace, scene: Scene) -> None:
    folder = home.root / "scenes" / scene.name
    scene.save(folder)
    embed_scene(scene, folder, home.embeddings(scene.name), TinyEncoder(), EmbedOptions(augmentations=0))


def first_floor(root: Path) -> Scene:
    """Photos of 400x300 with metadata, of cameras that look along z; y is down."""
    names, sequences, indices, splits, centers_m = zip(*ROWS, strict=True)
    exif = Image.Exif()
    exif[0x013B] = SECRET
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        photo = Image.effect_mandelbrot((400, 300), (-2 + 0.1 * number, -1, 1, 1), 20).convert("RGB")
        photo.save(root / name, exif=exif, comment=SECRET)
    poses = Poses(centers_m, np.tile([1.0, 0, 0, 0], (len(names), 1)))
    columns = [np.array(column) for column in (sequences, indices, splits)]
    frames = Frames(tuple(root / name for name in names), names, *columns, ("",) * len(names), poses)
    return Scene("first floor", root, frames, ground_truth="invented")


def floor_maps(folder: Path) -> tuple[tuple[str, Path], ...]:
    """One with a plan larger than is sent, turned, with no limit; and one without a plan."""
    walkable = np.ones((90, 2000), dtype=bool)
    walkable[:45, :1000] = False  # the upper left quarter
    plan = folder / "our plan.png"
    Image.new("RGB", (2000, 90), "beige").save(plan)
    FloorMap(walkable, 0.01, (15.0, 0.5), 180.0, "-y", float("inf"), plan).save(folder / "turned 180°.toml")
    FloorMap(np.ones((20, 30), dtype=bool), 0.5, (-2.0, -2.0), up="-y").save(folder / "bare.toml")
    return tuple(("first floor", folder / f"{name}.toml") for name in ("bare", "turned 180°"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A scene with everything, and one whose folder and photos are gone."""
    found = Workspace(tmp_path_factory.mktemp("somewhere-private"))
    embedded(found, first_floor(found.root / "photos"))
    bare = make_scene(found.root / "gone")
    embedded(found, Scene("bare", bare.image_root, bare.frames, units="colmap units"))
    shutil.rmtree(found.root / "gone")
    shutil.rmtree(found.root / "scenes" / "bare")
    return found


@pytest.fixture(scope="module")
def client(home: Workspace) -> Iterator[httpx.Client]:
    chosen: dict[str, Any] = {"scenes": ("bare", "first floor"), "methods": ("nearest", "ewb:k=2")}
    with serving(home, floor_maps=floor_maps(home.root), **chosen) as client:
        yield client


def scene(client: httpx.Client, name: str = "first floor") -> dict[str, Any]:
    answer = client.get(f"/v1/scenes/{quote(name)}")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def get(client: httpx.Client, url: str, **headers: str) -> httpx.Response:
    """What lies at an address as scenes tell it."""
    return client.get(f"/v1/scenes/{url}", headers=headers)


def picture_of(answer: httpx.Response, kind: str) -> Image.Image:
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"image/{kind}")
    return Image.open(io.BytesIO(answer.content))


def test_all_scenes_are_listed_in_a_few_words(client: httpx.Client) -> None:
    bare, first = client.get("/v1/scenes").json()["scenes"]
    assert first == {
        "name": "first floor",
        "units": "metres",
        "mapping_photos": 6,
        "encoder": "tiny",
        "methods": ["nearest", "ewb:k=2"],
        "default_method": "nearest",
        "floor_maps": ["bare", "turned 180°"],
        "default_floor_map": "bare",
        "extent_m": {"min": [0.0, 1.5, 0.0], "max": [9.6, 1.5, 0.3]},
    }
    assert (bare["name"], bare["units"], bare["floor_maps"], bare["default_floor_map"]) == (
        "bare",
        "colmap units",
        [],
        "none",
    )


def test_a_scene_repeats_its_summary(client: httpx.Client) -> None:
    summary = client.get("/v1/scenes").json()["scenes"][1]
    assert {name: scene(client)[name] for name in summary} == summary


def test_walks_go_by_number_and_tell_where_they_jump(client: httpx.Client) -> None:
    one, two = scene(client)["trajectory"]
    assert (one["sequence"], one["photos"], one["gaps_after"]) == ("one", ["walk one/0.jpg"], [])
    assert two["sequence"] == "two"
    assert two["photos"] == [f"walk two/b#{number}.jpg" for number in range(5)], "test photos are no part of the map"
    assert [x for x, _, _ in two["centers_m"]] == [0.0, 0.2, 0.4, 9.4, 9.6]
    assert two["world_from_cam_wxyz"] == [[1.0, 0.0, 0.0, 0.0]] * 5
    assert two["gaps_after"] == [2]


def test_the_plane_of_a_scene_is_that_of_its_default_floor_map(client: httpx.Client) -> None:
    told = scene(client)
    assert (told["up"], told["plane"]) == ("-y", {"right": "x", "up": "z"})


def test_a_scene_that_lost_its_folder_and_photos_is_still_drawn(client: httpx.Client) -> None:
    told = scene(client, "bare")
    assert (told["up"], told["plane"], told["floor_plans"]) == (None, {"right": "x", "up": "z"}, [])
    assert told["trajectory"][0]["centers_m"][:2] == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert get(client, told["points_url"]).json() == {"points_m": [], "colors": None, "source": "", "total": 0}
    gone = get(client, told["thumbnail_url"].replace("{photo}", "frame-000.png"))
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    assert gone.json()["detail"] == "the mapping photo is not there any more, or cannot be read"


def test_a_floor_map_tells_where_its_corners_lie_and_an_infinite_limit_is_null(client: httpx.Client) -> None:
    bare, turned = scene(client)["floor_plans"]
    assert (turned["width_px"], turned["height_px"], turned["metres_per_pixel"]) == (2000, 90, 0.01)
    assert (turned["origin_m"], turned["yaw_deg"], turned["up"]) == ([15.0, 0.5], 180.0, "-y")
    assert turned["max_distance_m"] is None
    assert turned["plane"] == {"right": "x", "up": "z"}
    # the picture is upside down on the plane
    assert np.allclose(turned["corners_m"], [[15.0, 0.5], [-5.0, 0.5], [-5.0, -0.4], [15.0, -0.4]])
    assert bare["max_distance_m"] == 1.0
    assert bare["plan_url"] is None


def test_pictures_of_a_floor_map_are_reduced(client: httpx.Client) -> None:
    turned = scene(client)["floor_plans"][1]
    plan = picture_of(get(client, turned["plan_url"]), "png")
    assert (plan.size, plan.mode, plan.getpixel((3, 3))) == ((1600, 72), "RGB", (245, 245, 220))
    walkable = picture_of(get(client, turned["walkable_url"]), "png")
    assert (walkable.size, walkable.mode) == ((1600, 72), "RGBA")
    alpha = np.asarray(walkable)[..., 3]
    assert (alpha[:34, :798] == 140).all()
    assert (alpha[:, 802:] == 0).all()
    assert (alpha[38:] == 0).all()


def test_a_small_raster_keeps_its_size(client: httpx.Client) -> None:
    assert picture_of(get(client, scene(client)["floor_plans"][0]["walkable_url"]), "png").size == (30, 20)


def test_a_floor_map_without_a_plan_has_no_picture_of_it(client: httpx.Client) -> None:
    answer = get(client, "first%20floor/floor-maps/bare/plan.png")
    assert (answer.status_code, answer.json()["detail"]) == (404, "the floor map bare has no picture of a plan")


def test_a_plan_that_went_is_no_mistake_of_the_server(home: Workspace) -> None:
    maps = floor_maps(home.root)
    with serving(home, methods=("nearest",), floor_maps=maps) as client:
        (home.root / "our plan.png").rename(home.root / "away.png")
        try:
            answer = get(client, scene(client)["floor_plans"][1]["plan_url"])
        finally:
            (home.root / "away.png").rename(home.root / "our plan.png")
    assert (answer.status_code, str(home.root) in answer.text) == (404, False)


@pytest.mark.parametrize(("query", "size"), [("", (320, 240)), ("?size=160", (160, 120)), ("?size=640", (400, 300))])
def test_a_mapping_photo_is_reduced_and_never_enlarged(client: httpx.Client, query: str, size: tuple[int, int]) -> None:
    assert picture_of(get(client, PHOTO + query), "jpeg").size == size


def test_a_mapping_photo_is_found_as_the_scene_tells_it(client: httpx.Client) -> None:
    told = scene(client)
    for name in told["trajectory"][1]["photos"]:
        url = told["thumbnail_url"].replace("{photo}", quote(name, safe=""))
        assert picture_of(get(client, url), "jpeg").size == (320, 240)
    assert get(client, PHOTO).content == get(client, PHOTO.replace("walk%20two/", "walk%20two%2F")).content


def test_a_mapping_photo_carries_its_pixels_only(client: httpx.Client, home: Workspace) -> None:
    assert SECRET.encode() in (home.root / "photos" / "walk two" / "b#1.jpg").read_bytes()
    for size in ("160", "640"):
        answer = get(client, f"{PHOTO}?size={size}")
        assert SECRET.encode() not in answer.content
        assert set(picture_of(answer, "jpeg").info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


@pytest.mark.parametrize("size", ["0", "-1", "321", "huge", "", "160.5"])
def test_other_sizes_are_refused(client: httpx.Client, size: str) -> None:
    answer = get(client, f"{PHOTO}?size={size}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing.jpg",
        "walk%20two",
        "walk%20two/test.jpg",
        "walk%20two/b%231.jpg/",
        "WALK%20TWO/b%231.jpg",
        "../photos/walk%20two/b%231.jpg",
        "..%2F..%2Ffirst%20floor%2Fphotos",
        "walk%20one/../walk%20two/b%231.jpg",
        "walk%20one/..%2Fwalk%20two/b%231.jpg",
        "walk%20two%252Fb%231.jpg",
        "walk%20two%5Cb%231.jpg",
        "./walk%20two/b%231.jpg",
        "/walk%20two/b%231.jpg",
        "{root}/photos/walk%20two/b%231.jpg",
        "%2Fetc%2Fpasswd",
        "walk%20two/b%231.jpg%00",
        "file:///etc/passwd",
    ],
)
def test_only_exact_names_of_mapping_photos_are_found(client: httpx.Client, home: Workspace, name: str) -> None:
    """Sent as it stands: clients would clean such an address up."""
    path = f"/v1/scenes/first%20floor/photos/{name.replace('{root}', quote(str(home.root)))}"
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port or 80)
    connection.putrequest("GET", path)
    connection.endheaders()
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    assert (answer.status, content["code"]) == (404, "not_found")
    assert str(home.root) not in content["detail"] or "{root}" in name


def test_no_mapping_photo_is_shown_where_the_operator_says_so(home: Workspace) -> None:
    with serving(home, ServiceOptions(thumbnails=False), methods=("nearest",)) as client:
        assert scene(client)["thumbnail_url"] is None
        answer = get(client, PHOTO)
    assert (answer.status_code, answer.json()["detail"]) == (404, "this service does not show its mapping photos")


@pytest.mark.parametrize(
    "rest", ["", "/points", "/floor-maps/bare/plan.png", "/floor-maps/bare/walkable.png", "/photos/walk%20one/0.jpg"]
)
@pytest.mark.parametrize("name", ["attic", "first%20floor%00", "%5C%5Cserver%5Cshare", "%2e%2e"])
def test_a_scene_that_is_not_there_is_a_problem(client: httpx.Client, name: str, rest: str) -> None:
    answer = get(client, name + rest)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("picture", ["plan.png", "walkable.png"])
@pytest.mark.parametrize("name", ["cellar", "none", "bare.toml", "..%5Cbare"])
def test_a_floor_map_that_is_not_there_is_a_problem_that_names_those_there_are(
    client: httpx.Client, name: str, picture: str
) -> None:
    answer = get(client, f"first%20floor/floor-maps/{name}/{picture}")
    expected = "no floor map of that name in scene first floor: choose one of bare, turned 180°"
    assert (answer.status_code, answer.json()["detail"]) == (404, expected)


def urls(told: dict[str, Any]) -> list[str]:
    return [
        quote(told["name"]),
        told["points_url"],
        told["floor_plans"][1]["plan_url"],
        told["floor_plans"][1]["walkable_url"],
        told["thumbnail_url"].replace("{photo}", quote("walk one/0.jpg", safe="")),
    ]


def test_what_a_client_has_is_not_sent_again(client: httpx.Client) -> None:
    for url in urls(scene(client)):
        first = get(client, url)
        etag = first.headers["etag"]
        assert first.headers["cache-control"] == "private, no-cache"
        for named in (etag, f'"other", W/{etag}', "*"):
            again = get(client, url, **{"If-None-Match": named})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        for named in ('"other"', etag.strip('"'), ""):
            assert get(client, url, **{"If-None-Match": named}).content == first.content


def test_no_answer_names_a_folder_of_the_server(client: httpx.Client, home: Workspace) -> None:
    told = [client.get("/v1/scenes"), *(get(client, url) for url in (*urls(scene(client)), "bare", "bare/points"))]
    assert all(answer.status_code == 200 for answer in told)
    assert not any(str(home.root).encode() in answer.content or b"somewhere-private" in answer.content for answer in told)


@pytest.mark.parametrize(
    ("path", "url", "model"),
    [
        ("/v1/scenes", "", Scenes),
        ("/v1/scenes/{name}", "/first%20floor", SceneDescription),
        ("/v1/scenes/{name}", "/bare", SceneDescription),
        ("/v1/scenes/{name}/points", "/bare/points", ScenePoints),
    ],
)
def test_answers_are_what_the_api_says(client: httpx.Client, path: str, url: str, model: type[Model]) -> None:
    told = client.get("/openapi.json").json()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
    assert told["schema"] == {"$ref": f"#/components/schemas/{model.__name__}"}
    model.model_validate_json(client.get(f"/v1/scenes{url}").content, strict=True)


@pytest.mark.parametrize("model", [SceneSummary, SceneDescription, FloorPlan, ScenePoints])
def test_the_examples_of_the_api_fit_its_types(model: type[Model]) -> None:
    examples = model.model_json_schema()["examples"]
    assert examples
    for example in examples:
        model.model_validate(example, strict=True)


def test_every_route_tells_of_its_problems(client: httpx.Client) -> None:
    api = client.get("/openapi.json").json()
    told = {
        path: set(routes["get"]["responses"])
        for path, routes in api["paths"].items()
        if path.startswith("/v1/scenes/{name}") and "get" in routes
    }
    assert len(told) == 5
    assert all(statuses >= {"200", "304", "404", "503"} for statuses in told.values())
