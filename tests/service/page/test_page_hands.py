"""The page by keyboard, by fingers, on a phone, in the dark, what is dropped on it, and the description beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import Visit, within

from irploc.scene import Scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Scripts that tell what is seen of a view.
SHOWN = {
    "plan": "() => document.querySelector('.plot').layout.xaxis.range",
    "space": "() => Object.values(document.querySelector('.plot')._fullLayout.scene._scene.getCamera().eye)",
}


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


@pytest.mark.parametrize("wrong", ["-5", "0.5", "1000001", "1e"])
def test_a_focal_length_that_cannot_be_is_marked_and_nothing_is_sent_with_it(visit: Visit, scene: Scene, wrong: str) -> None:

    def sent() -> int:
        return sum(url.endswith("/v1/localize") for url in visit.requested)

    visit.ask(*scene.frames.images[:2])
    verdicts, position = visit.verdicts(), visit.fact("Position")
    visit.page.click("#options summary")
    focal, words = visit.page.locator("#focal"), visit.page.locator("#focal-wrong")
    assert not words.inner_text() and focal.get_attribute("aria-invalid") != "true"
    focal.press_sequentially(wrong)
    focal.press("Tab")
    assert focal.get_attribute("aria-invalid") == "true"
    assert "a focal length is 1 to 1,000,000 pixels" in words.inner_text().lower()
    for button in ("#again", '#verdict [data-act="again"]'):
        visit.page.click("#options summary")
        visit.page.evaluate("(button) => document.querySelector(button).click()", button)
        assert visit.page.evaluate("() => document.activeElement.id") == "focal", "opened and shown"
        assert visit.verdicts() == verdicts
    assert visit.fact("Position") == position
    visit.page.set_input_files("#files", [scene.frames.images[2]])
    within(20, lambda: "A photo waits to be sent." in words.inner_text())
    assert len(visit.verdicts()) == sent() == 2
    focal.fill("500")
    assert not words.inner_text(), "what is not wrong any more is not marked"
    focal.press("Tab")
    visit.page.wait_for_selector('#list li:nth-child(3) .badge:not([data-kind="wait"])')
    assert sent() == 3


def test_options_have_room_and_what_is_to_be_typed_is_read_in_the_dark(visit: Visit) -> None:
    visit.page.emulate_media(color_scheme="dark")
    visit.page.click("#options summary")
    left = """(element) => {
        const range = document.createRange();
        range.selectNodeContents(element);
        return range.getBoundingClientRect().left;
    }"""
    lefts = [visit.page.locator(name).evaluate(left) for name in ("#again", "#focal-hint")]
    assert lefts[0] == pytest.approx(lefts[1], abs=0.5)
    contrast = visit.page.evaluate(
        """() => {
            const light = (color) => color.match(/[0-9.]+/g).slice(0, 3).map((value) => value / 255)
                .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
                .reduce((sum, value, row) => sum + [0.2126, 0.7152, 0.0722][row] * value, 0);
            const field = document.getElementById("focal");
            const text = light(getComputedStyle(field, "::placeholder").color);
            const ground = light(getComputedStyle(field).backgroundColor);
            return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
        }"""
    )
    assert contrast >= 4.5


def test_a_view_fits_into_the_window_whatever_the_list_and_the_options(visit: Visit, scene: Scene) -> None:
    visit.view("plan")
    before = visit.page.locator(".plot").bounding_box()
    visit.page.click("#options summary")
    visit.ask(*scene.frames.images[:12])
    visit.view("plan")
    legend = visit.page.locator(".plot .legend")
    within(20, lambda: (found := legend.bounding_box()) is not None and found["y"] + found["height"] <= 800)
    box = visit.page.locator(".plot").bounding_box()
    assert before is not None and box is not None
    assert box["height"] == pytest.approx(before["height"], abs=60), "the verdict takes a line or two"
    assert box["height"] > 400
    assert box["y"] + box["height"] <= 800
    assert visit.page.evaluate("() => document.documentElement.scrollHeight") == 800
    visit.page.click("#options summary")
    visit.page.keyboard.press("Tab")
    visit.page.locator("#list li").last.scroll_into_view_if_needed()
    last, window = visit.page.locator("#list li").last.bounding_box(), visit.page.locator("#list").bounding_box()
    assert last is not None and window is not None
    assert last["y"] + last["height"] <= window["y"] + window["height"] + 1
    assert 760 < window["y"] + window["height"] <= 800, "the list uses the room there is"


@pytest.mark.parametrize("view", SHOWN)
def test_the_wheel_comes_nearer_only_where_there_is_nothing_to_scroll_or_with_control(visit: Visit, view: str) -> None:
    visit.view(view)
    script = SHOWN[view]

    def turn(pixels: int) -> None:
        box = visit.page.locator(".plot").bounding_box()
        assert box is not None
        visit.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 80)
        visit.page.mouse.wheel(0, pixels)

    before = visit.page.evaluate(script)
    turn(-200)
    within(20, lambda: visit.page.evaluate(script) != pytest.approx(before))
    visit.page.click("#reset")
    within(20, lambda: visit.page.evaluate(script) == pytest.approx(before))
    visit.page.set_viewport_size({"width": 1280, "height": 420})
    visit.open()
    visit.view(view)
    before = visit.page.evaluate(script)
    turn(150)
    within(20, lambda: visit.page.evaluate("() => scrollY") > 50)
    assert visit.page.evaluate(script) == pytest.approx(before), "what is drawn stays"
    scrolled = visit.page.evaluate("() => scrollY")
    visit.page.keyboard.down("Control")
    turn(-200)
    visit.page.keyboard.up("Control")
    within(20, lambda: visit.page.evaluate(script) != pytest.approx(before))
    assert visit.page.evaluate("() => scrollY") == scrolled


@pytest.mark.parametrize(("width", "height"), [(320, 640), (844, 390)], ids=["narrow", "lying"])
def test_a_small_phone_shows_every_tab_and_the_whole_plot(
    browser: Browser, address: str, scene: Scene, width: int, height: int
) -> None:
    phone: Any = {"viewport": {"width": width, "height": height}, "has_touch": True, "is_mobile": True}
    with browser.new_context(**phone) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        assert not visit.page.is_visible("#hint"), "fingers neither drop nor paste"
        visit.ask(scene.frames.images[0])
        for view in SHOWN:
            visit.view(view)
            assert visit.page.evaluate("() => document.documentElement.scrollWidth") == width
            for tab in visit.page.locator("#tabs button").all():
                box = tab.bounding_box()
                assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= width
            box = visit.page.locator(".plot").bounding_box()
            assert box is not None and box["height"] <= height
        assert not visit.complaints


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
    phone: Any = {"viewport": {"width": 360, "height": 640}, "has_touch": True, "is_mobile": True}
    with browser.new_context(**phone) as context:
        visit = Visit(context.new_page(), address)
        visit.open()
        for view, script in SHOWN.items():
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
        within(20, lambda: visit.page.evaluate(SHOWN["space"]) != pytest.approx(before))
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
