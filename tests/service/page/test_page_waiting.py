"""What the page does while the service takes no photo, or is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from browsing import Visit, within

from irploc.scene import Scene

if TYPE_CHECKING:
    pass


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
    entries = visit.page.locator("#list .words")
    within(20, lambda: entries.all_inner_texts() == [words] * 4)
    assert visit.verdicts() == [badge] * 4
    assert len(asked) == 2
    assert words in visit.page.locator("#verdict").inner_text()
    assert "once the photo is answered" in visit.page.locator("#view").inner_text()
    assert visit.page.get_attribute('#verdict [data-act="again"]', "aria-disabled") == "true"
    for pause in range(10):
        visit.page.clock.run_for(1000)
        within(20, lambda: entries.all_inner_texts() == [words] * 4 and len(asked) == 3 + pause)  # noqa: B023
    visit.page.clock.run_for(1000)
    within(20, lambda: all(verdict in ANSWERED for verdict in visit.verdicts()))
    assert len(asked) == 16


def test_photos_that_got_no_connection_are_sent_once_there_is_one(visit: Visit, scene: Scene) -> None:
    visit.page.context.set_offline(True)
    visit.ask(*scene.frames.images[:2])
    assert visit.verdicts() == ["no connection"] * 2
    assert visit.page.inner_text('#verdict [data-act="again"]') == "Try again"
    visit.page.context.set_offline(False)
    within(15, lambda: all(verdict in ANSWERED for verdict in visit.verdicts()))


def test_a_photo_whose_answer_breaks_off_is_sent_again(visit: Visit, scene: Scene) -> None:
    asked = []

    def breaks_off_once(route: Any) -> None:
        asked.append(route)
        if len(asked) == 1:
            route.fulfill(status=200, content_type="application/json", body='{"results": [{"image": "a')
        else:
            route.continue_()

    visit.page.route("**/v1/localize", breaks_off_once)
    visit.ask(scene.frames.images[0])
    assert visit.verdicts() == ["no connection"]
    assert "The answer broke off." in visit.page.locator("#verdict").inner_text()
    within(15, lambda: visit.verdicts()[0] in ANSWERED)


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
