"""`irploc export`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, is_quiet, note, workspace_of

if TYPE_CHECKING:
    from irploc.export import Exported
    from irploc.scene import Scene
    from irploc.workspace import Workspace


@click.command()
@click.argument("model")
@click.option("--format", "kind", default="onnx", show_default=True, help="onnx is the only one.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, fp16 (weights) or int8.")
@click.option("--scene", help="Whose photos to check and measure on.  [default: the model's scene in the workspace]")
@click.option("--photos", default=200, show_default=True, help="Photos to measure the loss of accuracy on, at most.")
@click.option("--encoder", help="Where the model's encoder is now, if it moved: onnx:PATH.")
@click.option("--out", type=FILE, help="ONNX file.  [default: the model's path, ending in .onnx or .int8.onnx]")
@click.pass_context
def export(
    ctx: click.Context,
    model: str,
    kind: str,
    precision: str,
    scene: str | None,
    photos: int,
    encoder: str | None,
    out: Path | None,
) -> None:
    """Write MODEL (a file, or a scene's name) with its encoder as one ONNX file: image in, pose out.

    Poses are compared with torch's on real photos; when they differ by more than 1e-4 m or 1e-3 degrees nothing is written.
    'irploc localize --model FILE.onnx' runs the file without torch.
    """
    from irploc.errors import BadInput
    from irploc.files import check_writable
    from irploc.progress import progress
    from irploc.retrieval.store import NOT_RECORDED

    if kind != "onnx":
        raise BadInput(f"unknown format {kind!r}, models are exported as onnx")
    try:
        from irploc.export import PRECISIONS, Material, export_pipeline, find_model, load_pipeline
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxruntime"):
            raise
        raise BadInput(f"export needs {error.name}, which is not installed: pip install 'irploc[onnx]'") from None
    if precision not in PRECISIONS:
        raise BadInput(f"unknown precision {precision!r}, choose one of {', '.join(PRECISIONS)}")
    workspace = workspace_of(ctx)
    source = find_model(workspace, model)
    path = out or source.with_suffix(".onnx" if precision == "fp32" else f".{precision}.onnx")
    if path.suffix.lower() != ".onnx":
        raise BadInput(f"{path} is not the name of an ONNX file: 'irploc localize --model' knows them by .onnx")
    check_writable(path)
    pipeline = load_pipeline(source, encoder)
    found = _scene(workspace, scene, str(pipeline.identity["scene"]))
    material = Material(found.frames if found else None, pipeline.preparation, photos)
    units = found.units if found else NOT_RECORDED
    stages = partial(progress, quiet=is_quiet(ctx))
    click.echo(_summary(export_pipeline(pipeline, path, material, precision, units, stages)))


def _scene(workspace: Workspace, given: str | None, name: str) -> Scene | None:
    """The scene whose photos serve; None, and a note, where nobody named one and the model's is not there."""
    from irploc.errors import Mismatch, NotFound

    try:
        scene = workspace.load_scene(given or name)
    except NotFound:
        if given:
            raise
        note(f"no scene {name!r} in the workspace: the check is made on made-up pictures, the loss is not measured")
        return None
    if scene.name != name:
        raise Mismatch(f"the model answers for the scene {name!r}, not for {scene.name!r}: leave --scene out")
    return scene


def _summary(exported: Exported) -> str:
    about = exported.about
    unit = "m" if about.units == "metres" else f"({about.units})"
    check, loss = about.check, about.loss
    lines = [
        f"{exported.path}: {about.method} on {about.encoder} of {about.scene}, {about.precision}, "
        f"{exported.size_bytes / 1e6:.1f} MB",
        f"fp32 graph against torch: at most {check['position_m']:.1e} {unit} and {check['rotation_deg']:.1e} deg apart on "
        f"{check['images']} images ({check['of']}, {', '.join(check['sizes'])} pixels)",
    ]
    if about.precision != "fp32":
        lines.append(about.how)
    if loss:
        before, after = loss["fp32"], loss[about.precision]
        changes = [100 * (after[key] / max(before[key], 1e-12) - 1) for key in ("position_m", "rotation_deg")]
        lines.append(
            f"{about.precision} on {loss['n']} {loss['split']} photos: median {after['position_m']:.4f} {unit} "
            f"{after['rotation_deg']:.3f} deg, fp32 {before['position_m']:.4f} {unit} {before['rotation_deg']:.3f} deg "
            f"({changes[0]:+.1f} % {changes[1]:+.1f} %)"
        )
    return "\n".join(lines)
