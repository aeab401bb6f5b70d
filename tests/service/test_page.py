"""The page in a browser: photos come in, three views and one in space show the answer, and what is refused says why."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from browsing import Visit, chromium, within
from PIL import Image
from tiny_place import TinyEncoder
from toy_service import address_of

from irploc.floormap import FloorMap
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.scene import Scene
from irploc.service.hosting import HostingOptions
from irploc.service.options import Limits, ServiceOptions
from irploc.workspace import Workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

METHODS = ("robust", "nearest")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def home(toy_scene: Path, tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> Workspace:
    """The rendered room, with a floor map of a part of it: some photos lie outside."""
    home = Workspace(tmp_path_factory.mktemp("home"))
    shutil.copytree(toy_scene, home.root / "scenes" / "toy")
    scene = Scene.load(home.root / "scenes" / "toy")
    embed_scene(scene, home.root / "scenes" / "toy", home.embeddings("toy"), TinyEncoder(), EmbedOptions(augmentations=0))
    return home


@pytest.fixture(scope="module")
def scene(home: Workspace) -> Scene:
    return home.load_scene("toy")


@pytest.fixture(scope="module")
def floor(home: Workspace, scene: Scene) -> Path:
    """A plan with a picture, turned by 90 degrees, on which the half of the room with the larger x cannot be walked."""
    centers = scene.frames.poses.centers_m
    low, high = centers.min(axis=0) - 1.0, centers.max(axis=0) + 1.0
    middle = float(np.median(centers[:, 0]))
    metres = 0.05
    across, up = (int((high[axis] - low[axis]) / metres) for axis in (1, 0))  # the plan's x axis runs along the scene's y
    # turned by 90 degrees, the picture's rows run along -x of the scene: row 0 at the smallest x
    walkable = np.zeros((up, across), dtype=bool)
    walkable[: int((middle - low[0]) / metres)] = True
    picture = home.root / "plan.png"
    Image.new("RGB", (across, up), "white").save(picture)
    path = home.root / "plan.toml"
    floor_map = FloorMap(
        walkable, metres, (float(high[0]), float(low[1])), 90.0, max_distance_m=50.0, plan=picture, accept_outside=True
    )
    floor_map.save(path)
    return path


@pytest.fixture(scope="module")
def address(home: Workspace, floor: Path) -> Iterator[str]:
    with address_of(HostingOptions(home, methods=METHODS, floor_maps=(("toy", floor),))) as found:
        yield found


@pytest.fixture(scope="module")
def without_floor(home: Workspace) -> Iterator[str]:
    options = ServiceOptions(token="sixteen-characters", limits=Limits(queue=1, images=1))
    with address_of(HostingOptions(home, methods=METHODS), options) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Visit]:
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        yield visit
        assert not visit.complaints
        assert all(url.startswith((address, "blob:", "data:")) for url in visit.requested), visit.requested


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
    visit.page.evaluate(
        """() => {
            const asked = window.fetch;
            window.fetch = async (...request) => {
                const answer = await asked(...request);
                if (!String(request[0]).endsWith("/v1/localize")) return answer;
                const content = await answer.json();
                content.results[0].expected_error.position_m = 40;
                return Response.json(content);
            };
        }"""
    )
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
    visit.view("corrected")
    assert visit.caption().startswith("Moved ")
    traces = visit.traces()
    (moved,) = [trace for name, trace in traces.items() if name.startswith("corrected, moved ")]
    middle = float(np.median(scene.frames.poses.centers_m[:, 0]))
    assert traces["estimated"]["x"][0] > middle
    assert moved["x"][0] == pytest.approx(middle, abs=0.1)
    assert len(visit.layout()["images"]) == 2, "the plan and what cannot be walked on"
    visit.page.click("#list li:nth-child(2)")
    within(20, lambda: "nothing had to be corrected" in visit.caption())
    visit.view("numbers")
    assert visit.fact("Walkable ground") == "it is on it"


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
    within(20, lambda: visit.page.locator("figure.own").inner_text().startswith("no picture of it"))
    visit.page.click("#list li:nth-child(3)")
    within(20, lambda: "huge.png has 10000x10000 pixels, more than 50,000,000" in verdict.inner_text())
    for view in ("plan", "space"):
        visit.view(view)
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
    assert visit.fact("Heading") == "on a floor plan only"
    assert visit.fact("Tilt"), "what is up is known"
    visit.view("plan")
    assert visit.caption() == "No floor map: the walks that mapped the place, from above."
    visit.view("corrected")
    assert visit.caption() == "No floor map was asked for."


ANSWERED = ("located", "outside the map")
BUSY = (429, "too_busy", "busy", "the service is busy, again in 1 s")
LOADING = (503, "not_ready", "waiting", "the service is loading its places, again in 1 s")


def stop_the_clock(visit: Visit) -> None:
    visit.page.clock.install(time=0)
    visit.page.clock.pause_at(1)


@pytest.mark.parametrize(("status", "code", "badge", "words"), [BUSY, LOADING], ids=["busy", "loading"])
def test_photos_wait_together_while_the_service_takes_none(
    visit: Visit, scene: Scene, status: int, code: str, badge: str, words: str
) -> None:
    asked = []

    def refuse(route: Any) -> None:
        asked.append(route)
        if len(asked) > 12:
            route.continue_()
        else:
            problem = {"code": code, "detail": "not now"}
            route.fulfill(status=status, json=problem, headers={"Retry-After": "1"})

    stop_the_clock(visit)
    visit.page.route("**/v1/localize", refuse)
    visit.send(*scene.frames.images[:4])
    within(20, lambda: visit.verdicts() == [badge] * 4)
    assert len(asked) == 2
    assert words in visit.page.locator("#verdict").inner_text()
    assert "once the photo is answered" in visit.page.locator("#view").inner_text()
    assert visit.page.get_attribute('#verdict [data-act="again"]', "aria-disabled") == "true"
    for pause in range(10):
        visit.page.clock.run_for(1000)
        within(20, lambda: visit.verdicts() == [badge] * 4 and len(asked) == 3 + pause)  # noqa: B023
    visit.page.clock.run_for(1000)
    within(20, lambda: all(verdict in ANSWERED for verdict in visit.verdicts()))
    assert len(asked) == 16


def test_photos_that_got_no_connection_are_sent_once_there_is_one(visit: Visit, scene: Scene) -> None:
    visit.page.context.set_offline(True)
    visit.ask(*scene.frames.images[:2])
    assert visit.verdicts() == ["no connection"] * 2
    visit.page.context.set_offline(False)
    within(15, lambda: all(verdict in ANSWERED for verdict in visit.verdicts()))


def test_a_photo_that_breaks_the_connection_is_not_sent_for_ever(visit: Visit, scene: Scene) -> None:
    asked = []

    def breaks(route: Any) -> None:
        asked.append(route)
        route.abort("internetdisconnected")

    stop_the_clock(visit)
    visit.page.route("**/v1/localize", breaks)
    visit.ask(scene.frames.images[0])
    for _ in range(8):
        visit.page.clock.run_for(3000)
        visit.page.wait_for_timeout(100)
    assert len(asked) == 5
    assert visit.verdicts() == ["no connection"]


def test_answers_and_their_place_stay_when_the_service_goes(visit: Visit, scene: Scene) -> None:
    visit.page.clock.install()
    visit.ask(scene.frames.images[0])
    position = visit.fact("Position")
    visit.view("plan")
    visit.page.context.set_offline(True)
    visit.page.clock.fast_forward(120_000)
    visit.view("numbers")
    assert visit.fact("Position") == position
    visit.view("corrected")
    assert "estimated" in visit.traces()


def test_the_list_and_the_views_are_used_by_keyboard(visit: Visit, scene: Scene) -> None:
    visit.ask(*scene.frames.images[:3])
    chosen = visit.page.locator('#list [aria-selected="true"]')
    visit.page.locator("#list li").first.focus()
    visit.page.keyboard.press("ArrowDown")
    assert chosen.locator(".name").inner_text() == scene.frames.images[1].name
    visit.page.keyboard.press("End")
    assert chosen.locator(".name").inner_text() == scene.frames.images[2].name
    visit.page.keyboard.press("Delete")
    assert visit.page.locator("#list li").count() == 2
    assert visit.page.evaluate("() => document.activeElement.closest('#list li') !== null"), "the keyboard stays in the list"
    assert not visit.page.locator('[role="option"] button').count(), "nothing in an option can be pressed"
    assert not any(url.endswith("plotly.min.js") for url in visit.requested), "fetched with the first plot only"
    for _ in range(2):
        visit.page.locator('#verdict [data-act="remove"]').focus()
        visit.page.keyboard.press("Enter")
    assert visit.page.evaluate("() => document.activeElement.id") == "choose"
    visit.page.locator("#tab-numbers").focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.wait_for_selector('.plot[data-drawn^="plan"]')
    assert visit.page.locator('[role="tab"][aria-selected="true"]').inner_text() == "On the plan"
    assert visit.page.evaluate("() => document.activeElement.id") == "tab-plan"
    visit.page.keyboard.press("End")
    visit.page.wait_for_selector('.plot[data-drawn^="space"]')


def test_photos_are_dropped_and_pasted(visit: Visit) -> None:
    put = """(kind) => {
        const data = new DataTransfer();
        data.items.add(new File(["text"], `${kind}.jpg`, { type: "image/jpeg" }));
        document.dispatchEvent(kind === "drop"
            ? new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })
            : new ClipboardEvent("paste", { clipboardData: data }));
    }"""
    for kind in ("drop", "paste"):
        visit.page.evaluate(put, kind)
    visit.page.wait_for_selector("#list li:nth-child(2)")
    assert visit.page.locator("#list .name").all_inner_texts() == ["drop.jpg", "paste.jpg"]


def test_it_follows_the_dark_and_fits_a_phone(browser: Browser, address: str, scene: Scene) -> None:
    with browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        visit.ask(scene.frames.images[0])
        visit.view("plan")
        dark = visit.layout()["paper_bgcolor"]
        visit.page.emulate_media(color_scheme="light")
        within(20, lambda: visit.layout()["paper_bgcolor"] != dark)
        for name in ("numbers", "plan", "corrected", "space"):
            visit.view(name)
            assert visit.page.evaluate("() => document.documentElement.scrollWidth") == 360, name
        small = visit.page.evaluate(
            """() => [...document.querySelectorAll("button, select, summary")].filter((e) => e.checkVisibility())
                .filter((e) => e.getBoundingClientRect().height < 43.5).map((e) => e.textContent)"""
        )
        assert not small, "fingers need 44 pixels"
        assert not visit.complaints


def test_a_finger_on_a_plot_scrolls_the_page_and_two_come_nearer(browser: Browser, address: str) -> None:
    shown = {
        "plan": "() => document.querySelector('.plot').layout.xaxis.range",
        "space": "() => Object.values(document.querySelector('.plot')._fullLayout.scene._scene.getCamera().eye)",
    }
    phone: Any = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    with browser.new_context(**phone) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        for view, script in shown.items():
            visit.view(view)
            visit.page.evaluate("() => scrollTo(0, 1000)")
            before, scrolled = visit.page.evaluate(script), visit.page.evaluate("() => scrollY")
            visit.fingers((0, -50, 0, 150))
            within(20, lambda: visit.page.evaluate("() => scrollY") < scrolled - 50)  # noqa: B023
            assert visit.page.evaluate(script) == before, "what is drawn stays"
            visit.fingers((-30, 0, -60, 0), (30, 0, 60, 0))
            within(20, lambda: farthest(visit.page.evaluate(script)) < 0.6 * farthest(before))  # noqa: B023
            visit.page.locator("#reset").focus()
            visit.page.keyboard.press("Enter")
            within(20, lambda: visit.page.evaluate(script) == pytest.approx(before))  # noqa: B023
        visit.fingers((0, 0, 90, 5))
        within(20, lambda: visit.page.evaluate(shown["space"]) != pytest.approx(before))
        assert not visit.complaints


def farthest(numbers: list[float]) -> float:
    """How far apart they are."""
    return max(numbers) - min(numbers)


def test_the_description_of_the_api_asks_for_the_token(browser: Browser, without_floor: str) -> None:
    with browser.new_context(color_scheme="dark") as context:
        visit = Visit(context.new_page(), without_floor)
        visit.page.goto(f"{without_floor}/docs")
        visit.page.fill("#token", "a wrong token, long")
        visit.page.click("#ask button")
        visit.page.wait_for_selector("#wrong:visible")
        visit.page.fill("#token", "sixteen-characters")
        visit.page.click("#ask button")
        visit.page.wait_for_selector(".opblock")
        assert not visit.page.is_visible("#ask")
        assert not visit.complaints


def test_without_a_floor_plan_the_walks_are_seen_from_above_and_a_token_is_asked_for(
    browser: Browser, without_floor: str, scene: Scene
) -> None:
    with browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        visit = Visit(context.new_page(), without_floor)
        visit.page.goto(without_floor)
        for token in ("a wrong token, long", "sixteen-characters"):
            visit.page.wait_for_selector("#token-dialog[open]")
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
