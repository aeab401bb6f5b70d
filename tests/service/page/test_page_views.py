"""What the page shows of an answer: numbers, the pose on the plan, the corrected one, and the view in space."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsing import Visit, within
from PIL import Image

from irploc.scene import Scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def outside_and_inside(scene: Scene) -> tuple[Path, Path]:
    """Two mapping photos: of the part that cannot be walked, and of the other."""
    mapping = scene.frames.of_split("train")
    order = np.argsort(mapping.poses.centers_m[:, 0])
    return mapping.images[order[-1]], mapping.images[order[0]]


def file(name: str, content: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    return {"name": name, "mimeType": kind, "buffer": content}


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def checkerboard() -> bytes:
    """An image of no place: saturated squares."""
    squares = np.random.default_rng(0).integers(0, 2, (6, 8, 3)) * 255
    return png(Image.fromarray(np.kron(squares, np.ones((12, 12, 1))).astype(np.uint8)))


def test_a_photo_is_answered_in_numbers_with_the_mapping_photos_it_resembles(visit: Visit, scene: Scene) -> None:
    _, inside = outside_and_inside(scene)
    visit.ask(inside)
    assert visit.verdicts() == ["located"]
    form: Any = {"images": file(inside.name, inside.read_bytes())}
    answer = visit.page.request.post(f"{visit.address}/v1/localize", multipart=form).json()["results"][0]
    shown = "".join(visit.fact("Position").split()).replace("\u2212", "-")
    x, y, z = answer["center_m"]
    assert shown == f"x{x:.3f}y{y:.3f}z{z:.3f}m"
    assert visit.fact("Heading").startswith(f"{answer['plane_pose']['heading_deg']:.1f}\u00b0")
    assert f"{answer['expected_error']['rotation_deg']:.1f}\u00b0" in visit.fact("Expected error")
    assert visit.fact("Confidence").endswith("sure to be within 0.25 m and 5\u00b0")
    pictures = visit.page.locator(".compare figure:not(.own) img")
    assert pictures.count() >= 3
    within(
        10, lambda: visit.page.evaluate("() => [...document.querySelectorAll('.compare img')].every((i) => i.naturalWidth)")
    )
    caption = visit.page.locator(".compare figcaption span").first
    assert caption.inner_text() == answer["neighbours"][0]["name"]
    wide = "(span) => { span.textContent = '0'.repeat(90); const { scrollWidth, clientWidth } = span.parentElement;"
    assert caption.evaluate(f"{wide} return scrollWidth <= clientWidth; }}"), "long names differ at their end"


def test_the_plan_has_the_raw_pose_with_its_arrow_its_error_and_the_walk(visit: Visit, scene: Scene) -> None:
    outside, _ = outside_and_inside(scene)
    visit.page.click("#options summary")
    visit.page.select_option("#method", "nearest")  # gives the pose of the photo itself
    visit.ask(outside)
    visit.view("plan")
    row = scene.frames.images.index(outside)
    x, y, _ = scene.frames.poses.centers_m[row]
    traces, layout = visit.traces(), visit.layout()
    assert (traces["estimated"]["x"][0], traces["estimated"]["y"][0]) == pytest.approx((x, y), abs=1e-5)
    assert any(name.endswith(f"{len(scene.frames.of_split('train'))} mapping photos") for name in traces)
    assert "most similar" in traces
    (arrow,) = layout["annotations"]
    w, i, j, k = scene.frames.poses.world_from_cam_wxyz[row]
    ahead = np.array([2 * (i * k + w * j), 2 * (j * k - w * i)])  # of the optical axis, on the ground
    drawn = np.array([arrow["x"] - arrow["ax"], arrow["y"] - arrow["ay"]])
    angle = math.degrees(math.acos(drawn @ ahead / np.linalg.norm(drawn) / np.linalg.norm(ahead)))
    assert (arrow["ax"], arrow["ay"]) == pytest.approx((x, y), abs=1e-5)
    assert angle < 0.1
    (circle,) = layout["shapes"]
    assert circle["x1"] - circle["x0"] > 0
    assert len(layout["images"]) == 1, "the plan's picture, nothing shaded"


def test_an_error_wider_than_the_place_is_seen_whole(visit: Visit, scene: Scene) -> None:
    visit.alter({"expected_error": {"position_m": 40, "rotation_deg": 1}})
    visit.ask(scene.frames.images[0])
    visit.view("plan")
    (circle,) = visit.layout()["shapes"]
    low, high = visit.page.evaluate("() => document.querySelector('.plot').layout.xaxis.range")
    assert circle["x1"] - circle["x0"] == pytest.approx(80.0)
    assert low < circle["x0"] and circle["x1"] < high


def test_the_corrected_view_moves_the_position_onto_ground_that_can_be_walked(visit: Visit, scene: Scene) -> None:
    outside, inside = outside_and_inside(scene)
    visit.page.click("#options summary")
    visit.page.select_option("#method", "nearest")
    visit.ask(outside, inside)
    assert visit.verdicts() == ["outside the map", "located"]
    row = scene.frames.images.index(outside)
    x, y, z = scene.frames.poses.centers_m[row]
    corrected = position_of(visit.fact("Corrected position"))
    moved_m = float(np.linalg.norm(np.subtract(corrected, (x, y, z))))
    length = f"{moved_m:.2f} m" if moved_m < 1 else f"{moved_m:.1f} m"
    assert corrected[1:] == pytest.approx((y, z), abs=0.05), "the ground ends where x is too large"
    assert visit.fact("Walkable ground") == f"{length} away"
    verdict = visit.page.locator("#verdict").inner_text()
    assert f", {length} outside the ground that can be walked on, give or take " in verdict
    visit.view("corrected")
    assert visit.caption().startswith(f"Moved {length} to ")
    traces = visit.traces()
    names = list(traces)
    assert names.index("estimated") < names.index(f"corrected, moved {length}"), "drawn over what it may be near to"
    assert {"looks this way", "not walkable"} <= set(names)
    (circle,) = visit.layout()["shapes"]
    assert circle["name"] == "expected error" and circle["showlegend"]
    (moved,) = [trace for name, trace in traces.items() if name.startswith("corrected, moved ")]
    middle = float(np.median(scene.frames.poses.centers_m[:, 0]))
    assert traces["estimated"]["x"][0] > middle
    assert moved["x"][0] == pytest.approx(middle, abs=0.1)
    assert len(visit.layout()["images"]) == 2, "the plan and what cannot be walked on"
    visit.page.click("#list li:nth-child(2)")
    within(20, lambda: "nothing had to be corrected" in visit.caption())
    visit.view("numbers")
    assert visit.fact("Walkable ground") == "on it"
    assert visit.fact("Corrected position") == "the same"


def position_of(words: str) -> tuple[float, ...]:
    """Of what the first view says."""
    return tuple(float(number) for number in re.findall(r"-?[0-9.]+", words.replace("\u2212", "-")))


UNSURE = ({"confidence": 0.03}, "located, unsure", "fair", "It is 3 % sure to be within")
NEARLY = ({"confidence": 0.1}, "located", "good", "It is 10 % sure to be within")
MEASURED: Any = ({"confidence": None, "expected_error": None, "method": "structure"}, "located", "good")
MEASURED += ("Taken in toy. It was found on the map's own points.",)


@pytest.mark.parametrize(
    ("fields", "label", "kind", "words"), [UNSURE, NEARLY, MEASURED], ids=["unsure", "nearly", "measured"]
)
def test_the_verdict_says_how_sure_it_is(
    visit: Visit, scene: Scene, fields: dict[str, Any], label: str, kind: str, words: str
) -> None:
    visit.alter(fields)
    visit.ask(outside_and_inside(scene)[1])
    assert visit.verdicts() == [label]
    assert visit.page.get_attribute("#verdict .badge", "data-kind") == kind
    assert words in visit.page.locator("#verdict").inner_text()
    measured = "not known in numbers: found on the map's own points"
    assert visit.fact("Confidence").startswith(measured if fields["confidence"] is None else words[6:])


def test_what_cannot_be_walked_is_shaded_where_it_lies_on_a_turned_plan(visit: Visit, scene: Scene) -> None:
    visit.view("corrected")
    shade = visit.layout()["images"][1]
    colours = visit.page.evaluate(
        """async ({ source, shares }) => {
            const image = new Image();
            image.src = source;
            await image.decode();
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.width, image.height];
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            return shares.map((share) => context.getImageData(share * image.width, image.height / 2, 1, 1).data[3]);
        }""",
        {
            "source": shade["source"],
            "shares": [(x - shade["x"]) / shade["sizex"] for x in outer_positions(scene)],
        },
    )
    assert colours[0] == 0, "walkable ground is clear"
    assert colours[1] > 60, "the rest is shaded"


def outer_positions(scene: Scene) -> tuple[float, float]:
    """x of the farthest photos on either side."""
    x = scene.frames.poses.centers_m[:, 0]
    return float(x.min()), float(x.max())


def test_the_view_in_space_has_the_walk_the_cameras_and_the_estimate_and_can_be_turned(visit: Visit, scene: Scene) -> None:
    visit.ask(outside_and_inside(scene)[1])
    visit.view("space")
    traces = visit.traces()
    assert {"mapped walk", "estimated", "expected error"} <= set(traces)
    assert any(name.startswith("mapping cameras") for name in traces)
    eye = "() => ({ ...document.querySelector('.plot')._fullLayout.scene._scene.getCamera().eye })"
    before = visit.page.evaluate(eye)
    box = visit.page.locator(".plot").bounding_box()
    assert box is not None
    visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visit.page.mouse.down()
    visit.page.mouse.move(box["x"] + box["width"] / 2 + 120, box["y"] + box["height"] / 2 + 20, steps=6)
    visit.page.mouse.up()
    within(20, lambda: abs(visit.page.evaluate(eye)["x"] - before["x"]) > 0.05)


def test_what_is_no_photo_of_the_place_says_so(visit: Visit) -> None:
    visit.ask(
        file("elsewhere.png", checkerboard(), "image/png"),
        file("notes.jpg", b"a text, renamed"),
        file("huge.png", png(Image.new("1", (10_000, 10_000))), "image/png"),
    )
    assert visit.verdicts() == ["not localized", "refused", "refused"]
    verdict = visit.page.locator("#verdict")
    assert "resembles nothing in toy" in verdict.inner_text()
    assert visit.fact("Position") == "none: not localized"
    visit.page.click("#list li:nth-child(2)")
    within(20, lambda: "notes.jpg is not an image" in verdict.inner_text())
    assert verdict.locator('[data-act="again"]').inner_text() == "Ask again"
    within(20, lambda: visit.page.locator("figure.own").inner_text().startswith("no picture of it"))
    visit.page.click("#list li:nth-child(3)")
    within(20, lambda: "huge.png has 10000x10000 pixels, more than 50,000,000" in verdict.inner_text())
    visit.view("plan")
    assert visit.caption().startswith("There is no position to show. ")
    assert "estimated" not in visit.traces()
    visit.page.click("#list li:nth-child(1)")
    visit.view("corrected")
    within(20, lambda: visit.caption() == "There is no position to correct.")


def test_an_answer_without_a_floor_map_does_not_speak_of_one(visit: Visit, scene: Scene) -> None:
    visit.view("plan")
    assert "position" not in visit.caption()
    visit.page.click("#options summary")
    visit.page.select_option("#floor-map", "none")
    visit.page.click("#tab-numbers")
    visit.ask(scene.frames.images[0])
    assert visit.fact("Heading") == "needs a floor plan"
    assert visit.fact("Tilt"), "what is up is known"
    visit.view("plan")
    assert visit.caption() == "No floor map: the walks that mapped the place, from above."
    wedge = visit.traces()["looks this way"]
    for name in ("x", "y"):
        low, high = visit.page.evaluate(f"() => document.querySelector('.plot').layout.{name}axis.range")
        assert low < min(wedge[name]) and max(wedge[name]) < high, "nothing of it is cut off"
    visit.view("corrected")
    assert visit.caption() == "No floor map was asked for."


def test_without_a_floor_plan_the_walks_are_seen_from_above_and_a_token_is_asked_for(
    browser: Browser, without_floor: str, scene: Scene
) -> None:
    with browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        visit = Visit(context.new_page(), without_floor)
        visit.page.goto(without_floor)
        for token in ("a wrong token, long", "sixteen-characters"):
            visit.page.wait_for_selector("#token-dialog[open]")
            assert visit.page.locator("#token-hint.wrong").count() == (token == "sixteen-characters"), "after a wrong one"
            visit.page.fill("#token", token)
            visit.page.click("#token-dialog button")
        visit.page.wait_for_selector("body[data-ready]")
        visit.view("plan")
        assert "No floor map" in visit.caption()
        assert not visit.layout()["images"]
        visit.ask(*scene.frames.images[:3])
        assert visit.verdicts() == ["located"] * 3, (
            "two are sent at once, the queue holds one: the other waits and asks again"
        )
        visit.view("corrected")
        assert "no floor map" in visit.caption()
        assert not visit.complaints
