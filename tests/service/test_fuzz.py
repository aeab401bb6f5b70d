"""Requests made up from the API's description, right and wrong ones: every answer must be as described, and none a 5xx."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from toy_service import encoded, picture, serving, toy_workspace

schemathesis = pytest.importorskip("schemathesis")
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

pytestmark = pytest.mark.usefixtures("tiny_encoder")
# 413 too, which schemathesis by itself does not take for a refusal: too many photos, for example.
REFUSED = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
EXAMPLES = int(os.environ.get("IRPLOC_FUZZ_EXAMPLES", "25"))


@pytest.fixture(scope="module")
def service(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    home = toy_workspace(tmp_path_factory.mktemp("workspace"), toy_scene)
    with serving(home, methods=("nearest", "bdi:k=10")) as client:
        yield client


@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_every_answer_is_as_described(service: httpx.Client, right: bool) -> None:
    config = schemathesis.Config.from_dict(REFUSED)
    api = schemathesis.openapi.from_url(f"{str(service.base_url).rstrip('/')}/openapi.json", config=config)
    mode = schemathesis.GenerationMode.POSITIVE if right else schemathesis.GenerationMode.NEGATIVE
    checked = 0
    for found in api.get_all_operations():
        operation = found.ok()
        if not right and not (operation.body or operation.query):
            continue  # every word is a right one in a path

        @seed(0)
        @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            case.call_and_validate(excluded_checks=[positive_data_acceptance])  # no schema says what is a photo

        check()
        checked += 1
    assert checked >= (9 if right else 2)


NAUGHTY = [
    "",
    " ",
    "toy",
    "none",
    "null",
    "\0",
    "\r\n",
    "../..",
    "%00",
    "\u202e",
    "💥",
    "9" * 400,
    "{}",
    "[]",
    "nearest:k=1",
    "-1",
]


@pytest.mark.parametrize("field", ["scene", "method", "floor_map", "focal", "camera", "other", ""])
def test_no_word_in_a_field_makes_a_mistake_of_ours(service: httpx.Client, field: str) -> None:
    photo = ("a.png", encoded(picture()), "image/png")
    for word in NAUGHTY:
        answer = service.post("/v1/localize", files={"images": photo}, data={field: word})
        assert answer.status_code in (200, 400, 404, 422), (field, word, answer.text)
        assert "Traceback" not in answer.text and ".py" not in answer.text


def test_no_damaged_photo_makes_a_mistake_of_ours(service: httpx.Client) -> None:
    generator = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = np.frombuffer(encoded(picture(), kind), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            places = generator.integers(0, len(damaged), generator.integers(1, 20))
            damaged[places] = generator.integers(0, 256, len(places))
            answer = service.post(
                "/v1/localize", files={"images": ("a", damaged.tobytes()[: generator.integers(1, len(whole))])}
            )
            assert answer.status_code in (200, 413, 415, 422), answer.text
