"""What the page does when the service is started anew without the floor map that it told of."""

from __future__ import annotations

from typing import Any

from browsing import Visit, within

from irploc.scene import Scene

NO_FLOOR = "No floor map: the walks that mapped the place, from above."


def restart(visit: Visit, floorless: str) -> list[str]:
    """Another service answers at the same address; gives the paths that are asked for from then on, as they come."""
    asked: list[str] = []

    def answer(route: Any) -> None:
        path = route.request.url.removeprefix(visit.address)
        asked.append(path)
        if route.request.method == "GET":
            route.fulfill(response=route.fetch(url=floorless + path))
        else:
            route.continue_(url=floorless + path)  # with its files

    visit.page.route(f"{visit.address}/v1/**", answer)
    return asked


def knows_of_no_floor(visit: Visit) -> bool:
    return visit.page.locator("#floor-map").is_hidden() and "plan" not in visit.page.locator("#floor-map").inner_text()


def test_a_floor_plan_that_is_gone_is_not_spoken_of(visit: Visit, scene: Scene, floorless: str) -> None:
    visit.page.click("#options summary")
    visit.ask(scene.frames.images[0])
    assert visit.page.locator("#floor-map").is_visible()
    asked = restart(visit, floorless)
    visit.view("plan")
    within(20, lambda: visit.caption() == NO_FLOOR)
    assert knows_of_no_floor(visit)
    assert any(path.endswith(".png") for path in asked), "it was what is gone"
    within(20, lambda: not visit.layout()["images"])
    visit.view("corrected")
    within(20, lambda: visit.caption().startswith("This place has no floor map"))
    visit.view("space")
    assert asked.count("/v1/scenes") == 1, "once is enough"


def test_an_answer_that_knows_no_floor_map_is_believed(visit: Visit, scene: Scene, floorless: str) -> None:
    visit.page.click("#options summary")
    visit.page.select_option("#method", "nearest")
    visit.ask(scene.frames.images[0])
    visit.view("plan")
    assert visit.caption() == "The position as estimated, on the floor plan."
    restart(visit, floorless)
    visit.ask(scene.frames.images[1])
    within(20, lambda: visit.caption() == NO_FLOOR)
    assert knows_of_no_floor(visit)
    assert visit.page.input_value("#method") == "nearest", "what was chosen and is there still stays"


def test_a_photo_refused_for_its_floor_map_is_asked_again_without(visit: Visit, scene: Scene, floorless: str) -> None:
    visit.page.click("#options summary")
    visit.page.select_option("#floor-map", "plan")
    restart(visit, floorless)
    visit.ask(scene.frames.images[0])
    assert visit.verdicts() == ["refused"]
    within(20, lambda: knows_of_no_floor(visit))
    visit.page.click('#verdict [data-act="again"]')
    within(20, lambda: visit.verdicts() == ["located"])


def test_what_stays_missing_is_not_asked_for_again_and_again(visit: Visit, scene: Scene) -> None:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url.removeprefix(visit.address)))
    visit.page.route(
        "**/walkable.png", lambda route: route.fulfill(status=404, json={"code": "not_found", "detail": "gone"})
    )
    visit.view("corrected")
    within(20, lambda: asked.count("/v1/scenes") == 1)
    for _ in range(3):
        visit.view("plan")
        visit.view("corrected")
    visit.ask(scene.frames.images[0])
    assert asked.count("/v1/scenes") == 1
    assert visit.page.locator("#floor-map").input_value() == ""
