"""``irploc evaluate``: how accurate are methods, or anyone's poses?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, is_quiet, note, stdout_is_terminal, workspace_of

if TYPE_CHECKING:
    from irploc.evaluation import Evaluation
    from irploc.workspace import Workspace


@click.command()
@click.argument("scene", required=False)
@click.option("--split", default="test", show_default=True, help="Which photos are the queries.")
@click.option("--methods", help="Comma-separated: nearest,bdi:k=25,…  [default: all closed-form ones and the trained]")
@click.option(
    "--embeddings",
    type=FILE,
    multiple=True,
    help="Embeddings other than the scene's own in the workspace; several to compare encoders side by side.",
)
@click.option(
    "--predictions",
    type=FILE,
    multiple=True,
    help="Score this pose file instead: 'name qw qx qy qz tx ty tz', cam_from_world. May be given several times.",
)
@click.option("--ground-truth", metavar="FILE|SCENE", help="True poses for --predictions: a pose file or a scene.")
@click.option(
    "--floor-map", type=FILE, help="Where one can walk, see 'irploc floormap'; also scores estimates moved onto it."
)
@click.option("--json", "json_file", type=FILE, help="Write the scores as JSON.")
@click.option("--markdown", "markdown_file", type=FILE, help="Write the table as Markdown.")
@click.option("--report", "report_file", type=FILE, help="Write one self-contained HTML page.")
@click.option("--poses", "poses_file", type=FILE, help="Write the estimated poses, one file per method.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    scene: str | None,
    split: str,
    methods: str | None,
    embeddings: tuple[Path, ...],
    predictions: tuple[Path, ...],
    ground_truth: str | None,
    floor_map: Path | None,
    json_file: Path | None,
    markdown_file: Path | None,
    report_file: Path | None,
    poses_file: Path | None,
) -> None:
    """Measure methods on the test photos of SCENE, or score anyone's pose files with --predictions.

    Position and rotation errors are medians over all queries; a query that was not localized counts as infinitely far
    away and turned by 180 degrees. Times are the method's own, from stored embeddings, encoding excluded.
    """
    workspace = workspace_of(ctx)
    if predictions:
        _refuse_together("--predictions", {"SCENE": scene, "--methods": methods, "--embeddings": embeddings or None})
        _refuse_together("--predictions", {"--poses": poses_file})
        if ground_truth is None:
            raise click.UsageError("--predictions needs --ground-truth FILE (or a scene)")
        evaluation = _evaluate_predictions(workspace, predictions, ground_truth, split)
    elif scene is not None:
        _refuse_together("SCENE", {"--ground-truth": ground_truth})
        evaluation = _evaluate_scene(workspace, scene, methods, split, embeddings)
    else:
        raise click.UsageError("name a SCENE, or pose files with --predictions FILE --ground-truth FILE")
    if floor_map is not None:
        from irploc.evaluation import with_floor_map
        from irploc.floormap import FloorMap

        evaluation = with_floor_map(evaluation, FloorMap.load(floor_map))
    _show(evaluation)
    if json_file:
        _write_json(evaluation, json_file)
    if markdown_file:
        from irploc.report import markdown

        _write_text(markdown(evaluation), markdown_file)
    if poses_file:
        _write_poses(evaluation, poses_file)
    if report_file:
        from irploc.report import write_page

        write_page(evaluation, report_file, is_quiet(ctx))
        _say_written(report_file)


def _refuse_together(first: str, others: dict[str, object]) -> None:
    for name, value in others.items():
        if value is not None:
            raise click.UsageError(f"{first} and {name} cannot be used together")


def _evaluate_scene(
    workspace: Workspace, scene: str, methods: str | None, split: str, embeddings: tuple[Path, ...]
) -> Evaluation:
    from irploc.errors import NotFound
    from irploc.estimators.build import available_methods, open_place
    from irploc.evaluation import check_up_to_date, evaluate_place, side_by_side

    try:
        loaded = workspace.load_scene(scene)
    except NotFound:
        if not embeddings and not workspace.embeddings(scene).is_file():
            raise
        loaded = None  # embeddings carry all that is needed
    measured = {}
    for path in embeddings or (workspace.embeddings(loaded.name if loaded else scene),):
        place = open_place(workspace, scene, path)
        with place.store:
            if loaded:
                check_up_to_date(place, loaded)
            specs = _split_methods(methods) if methods is not None else available_methods(place)
            measured[place.store.path.stem] = evaluate_place(place, specs, split)
    return side_by_side(measured)


def _split_methods(methods: str) -> list[str]:
    specs = [spec.strip() for spec in methods.split(",")]
    if not all(specs):
        raise click.UsageError(f"--methods {methods!r} has an empty item, expected nearest,bdi:k=25,…")
    return specs


def _evaluate_predictions(workspace: Workspace, predictions: tuple[Path, ...], ground_truth: str, split: str) -> Evaluation:
    from irploc.errors import NotFound
    from irploc.evaluation import evaluate_pose_files, read_pose_file

    if Path(ground_truth).is_file():
        return evaluate_pose_files(predictions, read_pose_file(Path(ground_truth)))
    try:
        scene = workspace.load_scene(ground_truth)
    except NotFound:
        raise NotFound(f"--ground-truth {ground_truth}: no such pose file, and no scene of that name or folder") from None
    return evaluate_pose_files(predictions, scene, split)


def _show(evaluation: Evaluation) -> None:
    from irploc.report import FLOOR_NOTE, describe, floor_table, notes, plain_text, summary_table

    width = shutil.get_terminal_size().columns if stdout_is_terminal() else None

    def best(cell: str) -> str:
        return click.style(cell, bold=True, fg="green")  # echo drops the colours of a pipe

    click.echo(f"{evaluation.scene}: {describe(evaluation)}\n\n{plain_text(summary_table(evaluation), width, best)}\n")
    floor = floor_table(evaluation)
    if floor is not None:
        click.echo(f"Moved onto the floor map:\n\n{plain_text(floor, width, best)}\n\n{FLOOR_NOTE}")
    for sentence in notes(evaluation):
        click.echo(sentence)


def _write_json(evaluation: Evaluation, path: Path) -> None:
    import json

    _write_text(json.dumps(evaluation.to_json(), indent=2, ensure_ascii=False, allow_nan=False) + "\n", path)


def _write_poses(evaluation: Evaluation, path: Path) -> None:
    from irploc.evaluation import write_pose_file

    several = len(evaluation.results) > 1
    for method, result in evaluation.results.items():
        safe = "".join("-" if character in ':/\\ "<>|?*' else character for character in method)
        target = path.with_name(f"{path.stem}.{safe}{path.suffix}") if several else path
        comments = [f"irploc, scene {evaluation.scene}, method {method}, ground truth {evaluation.ground_truth}"]
        count = write_pose_file(target, evaluation.queries.names, result.estimates.poses, comments)
        lost = len(evaluation.queries) - count
        _say_written(target, f"{count} poses" + (f", {lost} not localized left out" if lost else ""))


def _write_text(text: str, path: Path) -> None:
    from irploc.files import write_text

    write_text(path, text)
    _say_written(path)


def _say_written(path: Path, what: str = "") -> None:
    note(f"wrote {path}" + (f" ({what})" if what else ""))
