"""`irploc demo`: the whole flow on a rendered room, by the commands a user would type."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FOLDER, is_quiet

if TYPE_CHECKING:
    from irploc.geometry.poses import Poses
    from irploc.scene import Scene
    from irploc.synthetic import PlaceOptions
    from irploc.workspace import Workspace

SCENE = "room"
POINTS = "structure"
EMBEDDING = ("--encoder", "densevlad", "--augmentations", "4")
MODELS = ("irpnet", "mlp")
MAP = ("--no-calibration",)  # learning confidence takes longer than all the rest
TRAINING: tuple[str, ...] = ()  # further arguments of train-mlp


@click.command()
@click.option("--out", type=FOLDER, default="demo", show_default=True, help="Workspace to make; rerunning goes on in it.")
@click.pass_context
def demo(ctx: click.Context, out: Path) -> None:
    """Render a small room, map it, train on it, measure all methods and localize a photo. No download.

    Every step but the first is a command that works the same on your own photos; it is printed before it runs.
    """
    started = time.monotonic()
    ctx.obj = {**ctx.obj, "workspace": out}
    steps = _Steps(ctx, total=8)
    place = place_options()
    scene = _render(steps, place)
    steps.command("Turn photos into vectors", "embed", SCENE, *EMBEDDING)
    steps.command("Build the search index", "index", SCENE)
    for model in MODELS:
        _train(steps, model)
    steps.command("Triangulate the place's own points", "triangulate", SCENE, *MAP)
    report = steps.workspace.report(SCENE)
    json_file = report.with_suffix(".json")
    steps.command("Compare all methods", "evaluate", SCENE, "--report", str(report), "--json", str(json_file))
    _localize(steps, scene)
    page = out / "report.html"
    shutil.copyfile(report, page)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s. The report with curves, maps and photos: {page}")


def place_options() -> PlaceOptions:
    """What the demo renders."""
    from irploc.synthetic import PlaceOptions

    return PlaceOptions()


class _Steps:
    """Numbers and times the steps, and runs commands as if typed."""

    def __init__(self, ctx: click.Context, total: int) -> None:
        from irploc.cli.common import workspace_of

        self.workspace: Workspace = workspace_of(ctx)
        self.quiet = is_quiet(ctx)
        self._ctx, self._total, self._number = ctx, total, 0

    def step(self, title: str, work: Callable[[], None]) -> None:
        """One numbered step with its time."""
        self._number += 1
        click.secho(f"\n{self._number}/{self._total} {title}", bold=True)
        started = time.monotonic()
        work()
        click.echo(f"   {time.monotonic() - started:.1f} s")

    def command(self, title: str, *arguments: str) -> None:
        """A step that is one command of ours."""
        self.step(title, lambda: self.run(*arguments))

    def run(self, *arguments: str) -> None:
        """Prints a command and runs it in the demo's workspace."""
        from irploc.cli import main

        click.echo("$ " + self.typed(*arguments))
        command = main.get_command(self._ctx, arguments[0])
        assert command is not None
        with command.make_context(arguments[0], list(arguments[1:]), parent=self._ctx) as context:
            command.invoke(context)

    def typed(self, *arguments: str) -> str:
        """The command as a user would type it."""
        return shlex.join(["irploc", "--workspace", str(self.workspace.root), *arguments])


def _render(steps: _Steps, place: PlaceOptions) -> Scene:
    from irploc.synthetic import scene_of_place, write_place

    folder = steps.workspace.root / "scenes" / SCENE
    wanted = scene_of_place(folder, place)

    def work() -> None:
        if _is_rendered(wanted, folder):
            click.echo(f"{folder}: {len(wanted.frames)} photos are there from an earlier run and are kept")
            return
        _refuse_foreign(wanted, folder)
        _forget(steps.workspace)
        write_place(folder, place, steps.quiet)
        click.echo(f"{folder}: {len(wanted.frames)} photos of {place.width}x{place.height} with exact poses")

    counts = f"{place.mapping_frames} mapping photos by day, {place.test_frames} test photos on another path in the evening"
    steps.step(f"Render a room: {counts}", work)
    return wanted


def _is_rendered(wanted: Scene, folder: Path) -> bool:
    """Whether exactly this place is in ``folder``, completely."""
    from irploc.errors import IrplocError
    from irploc.geometry.poses import pose_errors
    from irploc.scene import Scene

    try:
        found = Scene.load(folder)
    except IrplocError:
        return False
    if found.source != wanted.source or found.frames.names != wanted.frames.names or found.cameras != wanted.cameras:
        return False
    position_m, rotation_deg = pose_errors(found.frames.poses, wanted.frames.poses)
    same = bool(position_m.max() < 1e-6 and rotation_deg.max() < 1e-4)
    return same and all(path.is_file() for path in wanted.frames.images)


def _refuse_foreign(wanted: Scene, folder: Path) -> None:
    """Raises BadInput rather than overwrite a scene that is not a rendered place."""
    from irploc.errors import BadInput
    from irploc.scene import Scene

    if (folder / "scene.toml").is_file() and Scene.load(folder).ground_truth != wanted.ground_truth:
        raise BadInput(f"{folder} is a scene that the demo did not make: choose another folder with --out")


def _forget(workspace: Workspace) -> None:
    """Removes what was made from an earlier rendering, which would not fit the new photos."""
    index = workspace.index(SCENE)
    models = [workspace.model(SCENE, model) for model in (*MODELS, POINTS)]
    for path in (workspace.embeddings(SCENE), index, index.with_suffix(".toml"), *models):
        path.unlink(missing_ok=True)


def _train(steps: _Steps, model: str) -> None:
    def work() -> None:
        path = steps.workspace.model(SCENE, model)
        if _is_trained(steps.workspace, model):
            click.echo(f"{path} is there from an earlier run and is kept")
        else:
            steps.run("train-mlp", SCENE, "--model", model, *TRAINING)

    steps.step(f"Train the pose regressor {model}", work)


def _is_trained(workspace: Workspace, model: str) -> bool:
    """Whether there is a model that was trained on these embeddings."""
    from irploc.errors import IrplocError
    from irploc.retrieval.store import EmbeddingStore
    from irploc.training.dataset import identity_of
    from irploc.training.modelfile import load_model

    with EmbeddingStore.open(workspace.embeddings(SCENE)) as store:
        identity = identity_of(store)
    try:
        load_model(workspace.model(SCENE, model), identity, model)
    except IrplocError:
        return False
    return True


def _localize(steps: _Steps, scene: Scene) -> None:
    """Localizes the middle photo of the test walk, the fast way and on points, whatever comes out."""
    test = scene.frames.of_split("test")
    row = len(test) // 2
    photo, true = test.images[row], test.poses[[row]]
    shown = str(steps.workspace.root / "scenes" / SCENE / photo.relative_to(scene.image_root.parent))

    def work() -> None:
        _answer(steps, photo, shown, true, None)
        _answer(steps, photo, shown, true, POINTS)
        click.echo(f"   true       {_in_words(true)}")

    steps.step("Where was this photo taken?", work)


def _answer(steps: _Steps, photo: Path, shown: str, true: Poses, method: str | None) -> None:
    """What one method says, and how far off it is."""
    from irploc.geometry.poses import pose_errors
    from irploc.localizer import Localizer

    click.echo("$ " + steps.typed("localize", shown, *(() if method is None else ("--method", method))))
    answer = Localizer.open(SCENE, method, workspace=steps.workspace.root).localize([photo])[0]
    total_ms, encode_ms = sum(answer.timing_ms.values()), answer.timing_ms["encode"]
    click.echo(f"   by {answer.method} in {total_ms:.0f} ms, {encode_ms:.0f} of them for the embedding")
    click.echo(f"   estimated  {_in_words(answer.pose)}")
    position_m, rotation_deg = pose_errors(answer.pose, true)
    click.echo(f"   error      {position_m[0]:.3f} m, {rotation_deg[0]:.2f} degrees")
    names = ", ".join(f"{name} ({similarity:.2f})" for name, similarity in answer.neighbours[:2])
    click.echo(f"   most similar mapping photos: {names}")


def _in_words(pose: Poses) -> str:
    """Position and viewing direction; the room's z axis points up."""
    import numpy as np

    if not pose.valid[0]:
        return "not localized"
    x, y, z = pose.centers_m[0]
    ahead = pose.to_matrices()[0, :3, 2]
    heading = np.degrees(np.arctan2(ahead[1], ahead[0])) % 360
    tilt = np.degrees(np.arcsin(np.clip(ahead[2], -1, 1)))
    return f"x {x:6.3f}  y {y:6.3f}  z {z:6.3f} m   heading {heading:5.1f}°  tilt {tilt:+5.1f}°"
