"""The soak test of the service: its requests are what they say, and wrong answers are seen."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture(scope="module")
def scripts() -> Iterator[SimpleNamespace]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        import service_clients
        import soak_requests
        import soak_service

        yield SimpleNamespace(clients=service_clients, requests=soak_requests, soak=soak_service)
    finally:
        sys.path.remove(str(SCRIPTS))


@pytest.fixture(scope="module")
def material(scripts: SimpleNamespace) -> Any:
    photos = {"a.jpg": bytes(range(200)), "b.jpg": b"b" * 300}
    return scripts.requests.Material("hall", ("bdi", "robust"), photos, ("/healthz",), b"bomb")


def answered(scripts: SimpleNamespace, status: int, *results: dict[str, Any], **headers: str) -> Any:
    return scripts.clients.Answer(status, headers, json.dumps({"results": results}).encode())


def asked(scripts: SimpleNamespace, *names: str, right: tuple[int, ...] = (200,)) -> Any:
    return scripts.requests.Case("photos", b"POST /v1/localize", right, tuple((name, "bdi") for name in names))


def ok(name: str, *center_m: float) -> dict[str, Any]:
    return {"image": name, "status": "ok", "center_m": list(center_m)}


def test_a_bomb_is_a_small_file_of_the_pixels_it_says(scripts: SimpleNamespace) -> None:
    small = scripts.requests.bomb(30, 20)
    with Image.open(io.BytesIO(small)) as image:
        image.load()
        assert image.size == (30, 20) and image.getextrema() == ((0, 0),) * 3
    assert len(scripts.requests.bomb(3000, 2000)) < 30_000


def test_photos_are_those_of_the_scene_a_large_one_one_sideways_and_noise(scripts: SimpleNamespace, tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), "red").save(tmp_path / "red.jpg")
    photos = scripts.requests.photos_of([tmp_path / "red.jpg"])
    sizes = {name: Image.open(io.BytesIO(content)).size for name, content in photos.items()}
    assert sizes == {"red.jpg": (64, 48), "phone.jpg": (4032, 3024), "portrait.png": (48, 64), "noise.jpg": (640, 480)}


def test_the_mix_is_that_of_its_seed_and_has_good_and_bad_requests(scripts: SimpleNamespace, material: Any) -> None:
    def kinds(seed: int) -> list[str]:
        chance = random.Random(seed)
        return [scripts.requests.case(chance, material).kind for _ in range(100)]

    assert kinds(1) == kinds(1) != kinds(2)
    chance = random.Random(0)
    cases = [maker(chance, material) for maker, _ in scripts.requests.MAKERS]
    assert {status for one in cases for status in one.right} == {200, 400, 403, 404, 405, 413, 415, 422}
    manners = scripts.requests
    assert {one.manner for one in cases} == {manners.WHOLE, manners.SLOWLY, manners.LEAVES_EARLY, manners.LEAVES_LATE}


def test_right_answers_are_no_failure(scripts: SimpleNamespace) -> None:
    seen = scripts.soak.Seen()
    two = asked(scripts, "a.jpg", "b.jpg")
    seen.judge(two, answered(scripts, 200, ok("a.jpg", 1.0, 2.0, 3.0), ok("b.jpg", 0.0, 0.0, 0.0)))
    seen.judge(asked(scripts, "a.jpg"), answered(scripts, 200, ok("a.jpg", 1.0, 2.0, 3.0005)))
    seen.judge(asked(scripts, "x", right=(415,)), answered(scripts, 415))
    seen.judge(two, answered(scripts, 429, **{"retry-after": "1"}))
    refused = {"image": "text.jpg", "status": "refused"}
    seen.judge(asked(scripts, "text.jpg", "a.jpg"), answered(scripts, 200, refused, ok("a.jpg", 1.0, 2.0, 3.0)))
    assert seen.failures == []
    assert seen.moved_m["bdi"] == pytest.approx(0.0005)
    assert seen.counts["photos", 200] == 3


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ([ok("b.jpg", 0.0, 0.0, 0.0), ok("a.jpg", 1.0, 2.0, 3.0)], "the result of b.jpg stands where that of a.jpg belongs"),
        ([ok("a.jpg", 1.0, 2.0, 3.0)], "1 results for 2 photos"),
        ([ok("a.jpg", 1.0, 2.0, 3.1), ok("b.jpg", 0.0, 0.0, 0.0)], "a.jpg by bdi moved by 0.1000 m"),
        ([ok("a.jpg", 1.0, 2.0, 3.0), {"image": "b.jpg", "status": "not_localized", "center_m": None}], "was ('ok'"),
    ],
)
def test_wrong_results_are_failures(scripts: SimpleNamespace, results: list[dict[str, Any]], said: str) -> None:
    seen, two = scripts.soak.Seen(), asked(scripts, "a.jpg", "b.jpg")
    seen.judge(two, answered(scripts, 200, ok("a.jpg", 1.0, 2.0, 3.0), ok("b.jpg", 0.0, 0.0, 0.0)))
    assert seen.failures == []
    seen.judge(two, answered(scripts, 200, *results))
    assert any(said in failure for failure in seen.failures)


@pytest.mark.parametrize(("status", "said"), [(500, "500, expected (200,)"), (503, "without Retry-After"), (422, "422")])
def test_wrong_statuses_are_failures(scripts: SimpleNamespace, status: int, said: str) -> None:
    seen = scripts.soak.Seen()
    seen.judge(asked(scripts, "a.jpg"), answered(scripts, status))
    assert len(seen.failures) == 1 and said in seen.failures[0]


def test_a_text_that_is_answered_as_a_photo_is_a_failure(scripts: SimpleNamespace) -> None:
    seen = scripts.soak.Seen()
    seen.judge(asked(scripts, "text.jpg"), answered(scripts, 200, ok("text.jpg", 1.0, 2.0, 3.0)))
    assert seen.failures == ["photos: text.jpg is ok"]


def test_memory_grows_from_the_first_minute_to_the_end(scripts: SimpleNamespace) -> None:
    flat = [(float(second), 100.0 + min(second, 60) + (40 if second % 10 == 0 else 0)) for second in range(600)]
    assert scripts.soak.growth(flat, 60.0) == pytest.approx((160.0, 160.0, 0.0), abs=1e-3)
    growing = [(at, size + 0.02 * max(at - 60.0, 0.0)) for at, size in flat]
    assert scripts.soak.growth(growing, 60.0) == pytest.approx((160.0, 170.8, 0.067), rel=1e-2)
    assert scripts.soak.growth(growing[:110], 60.0) is None
    assert scripts.soak.growth(growing[:50], 60.0) is None


def test_what_is_got_is_what_the_service_says_of_itself(scripts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    described = {
        "methods": ["robust", "bdi", "nearest"],
        "points_url": "hall/points",
        "thumbnail_url": "hall/photos/{photo}?size=160",
        "trajectory": [{"photos": ["walk 1/0.jpg"]}],
        "floor_plans": [{"plan_url": None, "walkable_url": "hall/floor-maps/ground/walkable.png"}],
    }
    monkeypatch.setattr(scripts.soak, "get", lambda port, path: (200, json.dumps(described)))
    material = scripts.soak.material_of(SimpleNamespace(port=1), "hall", {"a.jpg": b""}, b"bomb")
    assert material.methods == ("bdi", "robust")
    assert set(material.gets) >= {
        "/v1/scenes/hall/points",
        "/v1/scenes/hall/photos/walk%201%2F0.jpg?size=160",
        "/v1/scenes/hall/floor-maps/ground/walkable.png",
    }
