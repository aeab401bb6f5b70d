"""The page by keyboard, by fingers, on a phone, in the dark, what is dropped on it, and the description beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import Visit, within

from irploc.scene import Scene

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
