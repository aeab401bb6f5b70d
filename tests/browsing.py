"""A browser for the tests of the page."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Software rendering, so that views in space are drawn on machines without a graphics card too.
ARGUMENTS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless; tests that need it are skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs chromium")
    with playwright.sync_playwright() as engines:
        browser = engines.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """One visit of the page: what it asked for, and what its console says."""

    def __init__(self, page: Page, address: str) -> None:
        self.page, self.address = page, address
        self.requested: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._heard)

    def _heard(self, message: Any) -> None:
        reasons = ("the server responded", "net::ERR_INTERNET_DISCONNECTED")
        told_by_page = message.text.startswith(tuple(f"Failed to load resource: {reason}" for reason in reasons))
        if message.type == "error" and not told_by_page:
            self.complaints.append(message.text)

    def open(self) -> None:
        """Until the service's places are known."""
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-ready]")

    def ask(self, *files: Any) -> None:
        """Chooses files, and waits until each has an answer or was refused."""
        self.send(*files)
        self.page.wait_for_selector('#list .badge[data-kind="wait"]', state="detached")

    def send(self, *files: Any) -> None:
        """Chooses files; waits only until they are listed."""
        before = self.page.locator("#list li").count()
        self.page.set_input_files("#files", list(files))
        self.page.wait_for_selector(f"#list li:nth-child({before + len(files)})")

    def alter(self, fields: dict[str, Any]) -> None:
        """Puts other values into every answer to a photo."""
        self.page.evaluate(
            """(fields) => {
                const asked = window.fetch;
                window.fetch = async (...request) => {
                    const answer = await asked(...request);
                    if (!String(request[0]).endsWith("/v1/localize")) return answer;
                    const content = await answer.json();
                    content.results.forEach((result) => Object.assign(result, fields));
                    return Response.json(content);
                };
            }""",
            fields,
        )

    def verdicts(self) -> list[str]:
        """Of every photo in the list."""
        return self.page.locator("#list .badge").all_inner_texts()

    def view(self, name: str) -> None:
        """Goes to a view and waits until it is drawn."""
        self.page.click(f"#tab-{name}")
        if name != "numbers":
            self.page.wait_for_selector(f'.plot[data-drawn^="{name}"]')

    def caption(self) -> str:
        """What stands over a plot."""
        return self.page.locator(".caption").inner_text()

    def fingers(self, *moves: tuple[float, float, float, float]) -> None:
        """Moves fingers over the middle of the plot at the same time: from x, y by dx, dy, in pixels."""
        session = self.page.context.new_cdp_session(self.page)
        box = self.page.locator(".plot").bounding_box()
        assert box is not None
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

        def touch(kind: str, share: float, fingers: Any) -> None:
            places = [
                {"id": number, "x": middle[0] + x + share * dx, "y": middle[1] + y + share * dy}
                for number, (x, y, dx, dy) in enumerate(fingers)
            ]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        touch("touchStart", 0, moves)
        for step in range(1, 9):
            touch("touchMove", step / 8, moves)
            self.page.wait_for_timeout(20)
        touch("touchEnd", 1, ())

    def fact(self, name: str) -> str:
        """What the first view says under a name."""
        return self.page.locator("dt", has_text=name).locator("xpath=following-sibling::dd[1]").first.inner_text()

    def traces(self) -> dict[str, Any]:
        """What is drawn, by name."""
        drawn = self.page.evaluate("() => document.querySelector('.plot').data.map((t) => ({ ...t }))")
        return {trace.get("name", ""): trace for trace in drawn}

    def layout(self) -> Any:
        """Axes, pictures, shapes and arrows of what is drawn."""
        script = "() => { const { images, shapes, annotations, paper_bgcolor } = document.querySelector('.plot').layout;"
        return self.page.evaluate(f"{script} return {{ images, shapes, annotations, paper_bgcolor }}; }}")


def within(seconds: float, true: Any) -> None:
    """Fails unless something gets true in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.05)
