from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial.transform import Rotation
from toy_service import encoded, photo_files, picture, serving, toy_workspace

from irploc.estimators.base import UsedCamera
from irploc.floormap import PlanePose
from irploc.geometry.cameras import Camera
from irploc.geometry.poses import Poses
from irploc.localizer.localization import Corrected, Localization
from irploc.service import schemas
from irploc.service.description import PROBLEMS
from irploc.service.options import Limits, ServiceOptions
from irploc.workspace import Workspace

pytestmark = pytest.mark.usefixtures("tiny_encoder")
TOKEN = "0123456789abcdef-secret"
PHOTO = encoded(picture(1))


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return toy_workspace(tmp_path_factory.mktemp("workspace"), toy_scene)


@pytest.fixture(scope="module")
def client(home: Workspace) -> Iterator[httpx.Client]:
    with serving(home, methods=("nearest", "bdi:k=10")) as client:
        yield client


@pytest.fixture(scope="module")
def described(client: httpx.Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/openapi.json").json()
    return described


def operations(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(path, operation) for path, methods in described["paths"].items() for operation in methods.values()]


def localization(status: str, **of_answer: Any) -> Localization:
    found = status != "not_localized"
    pose = Poses(np.full((1, 3), 0.5 if found else np.nan), np.array([[1.0, 0, 0, 0]]) if found else np.full((1, 4), np.nan))
    return Localization(
        "a.jpg", status, "m", "s", pose, 0.5 if found else None, (("b.jpg", 0.9),), {"decode": 1.0}, **of_answer
    )


ANSWERS = {
    "ok": localization("ok", expected_error=(0.1, 1.0), spread=(0.1, 1.0), plane_pose=PlanePose(0.1, 0.2, None)),
    "not_localized": localization("not_localized", outside_m=3.0, note="…"),
    "outside_map": localization("outside_map", corrected=Corrected((0.0, 1.0, 2.0), 0.2), outside_m=0.2),
    "approximate": localization("approximate", camera=UsedCamera("exif", Camera("SIMPLE_PINHOLE", 4, 3, (2.0, 2.0, 1.5)))),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_answers_are_as_their_type_says_and_come_back_as_they_were(status: str) -> None:
    answer = ANSWERS[status].to_json()
    assert schemas.Localization.model_validate(answer).model_dump() == answer
    assert list(answer) == list(schemas.Localization.model_fields)
    with pytest.raises(ValidationError):
        schemas.Localization.model_validate({**answer, "more": 1})
    with pytest.raises(ValidationError):
        schemas.Localization.model_validate({name: value for name, value in answer.items() if name != "note"})


def test_real_answers_are_as_the_type_says(client: httpx.Client, toy_scene: Path) -> None:
    there = sorted(path for path in toy_scene.rglob("*.jpg") if path.is_file()) or sorted(toy_scene.rglob("*.png"))
    answer = client.post("/v1/localize", files=photo_files(there[0].read_bytes(), encoded(picture(1)), b"words")).json()
    assert schemas.Answers.model_validate(answer).model_dump() == answer
    assert [result["status"] for result in answer["results"]] == ["ok", "not_localized", "refused"]


def test_examples_are_as_the_type_says(described: dict[str, Any]) -> None:
    examples = described["paths"]["/v1/localize"]["post"]["responses"]["200"]["content"]["application/json"]["examples"]
    assert len(examples) == 2
    for example in examples.values():
        schemas.Answers.model_validate(example["value"])
    pose = examples["localized"]["value"]["results"][0]
    w, *xyz = pose["world_from_cam_wxyz"]
    turned = -Rotation.from_quat([*xyz, w]).inv().apply(pose["center_m"])
    assert pose["cam_from_world"]["tvec_m"] == pytest.approx(turned, abs=2e-3)
    assert pose["cam_from_world"]["qvec_wxyz"] == [w, *(-value for value in xyz)]


def test_the_form_has_photos_and_every_field_with_words(described: dict[str, Any]) -> None:
    form = described["paths"]["/v1/localize"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert list(form["properties"]) == ["images", *schemas.LocalizeFields.model_fields]
    assert form["properties"]["images"]["items"] == {"type": "string", "format": "binary"}
    assert all(field["description"] for field in form["properties"].values())
    assert form["required"] == ["images"]
    assert form["properties"]["images"]["maxItems"] == Limits().images
    assert "PINHOLE" in described["components"]["schemas"]["Intrinsics"]["properties"]["model"]["enum"]


DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_every_code_that_is_documented_exists_and_the_other_way_round() -> None:
    raised = set()
    for path in Path(str(schemas.__file__)).parent.rglob("*.py"):
        raised |= set(re.findall(r'\bProblem\(\s*(\d{3}),\s*"(\w+)"', path.read_text()))
    told = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", (DOCS / "service.md").read_text(), re.MULTILINE))
    assert told == raised
    of_operations = {code for words in PROBLEMS.values() for code in re.findall(r"`([a-z_]+)`", words) if "_" in code}
    assert of_operations <= {code for _, code in raised} | {"floor_map", "request_id"}


def test_every_operation_has_a_name_a_group_words_and_problems_in_one_form(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(described)]
    assert len(set(names)) == len(names) > 8
    for path, operation in operations(described):
        assert operation["tags"] and operation["summary"] and operation["description"], path
        for status, answer in operation["responses"].items():
            assert answer["description"], (path, status)
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (path, status)
                assert int(status) in PROBLEMS


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    named = set(re.findall(r"#/components/schemas/(\w+)", str(described)))
    assert {"Answers", "Problem", "Intrinsics"} <= named <= set(described["components"]["schemas"])
    assert "HTTPValidationError" not in str(described)


def test_the_description_lies_in_both_places(client: httpx.Client, described: dict[str, Any]) -> None:
    assert client.get("/v1/openapi.json").json() == described
    assert not described["paths"]["/v1/localize"]["post"]["security"], "this service asks for no token"


def test_docs_come_from_the_package_and_have_no_script_in_the_page(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assert "http://" not in page and "https://" not in page
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == ["", ""]
    for name in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert client.get(f"/{name}").status_code == 200, name
    assert client.get("/docs/../app.py").status_code == 404
    assert client.get("/docs/%2e%2e%2fcore.py").status_code == 404


@pytest.mark.parametrize("token", [None, TOKEN])
def test_docs_show_every_operation_in_a_browser_under_the_policy(home: Workspace, token: str | None) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium")
    wrong: list[str] = []
    with (
        serving(home, ServiceOptions(token=token), methods=("nearest",)) as client,
        sync_api.sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        own = str(client.base_url)
        page.on("request", lambda request: None if request.url.startswith((own, "data:")) else wrong.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(f"{own}/docs")
        if token:
            page.fill("#token", token)
            assert [words for words in wrong if "401" not in words] == []
            wrong.clear()
            page.click("#ask button")
        page.wait_for_selector("#operations-localize-localize", timeout=10_000)
        assert page.locator(".opblock").count() > 8
        page.click("#operations-localize-localize")
        page.click(".try-out__btn")
        page.set_input_files(".opblock-body input[type=file]", {"name": "a.png", "mimeType": "image/png", "buffer": PHOTO})
        with page.expect_response("**/v1/localize") as answered:
            page.click(".execute")
        assert answered.value.status == 200, answered.value.text()
        browser.close()
    assert wrong == []
