"""`irploc localize`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import FILE, PATH, is_quiet, note, stdout_is_terminal, workspace_of
from irploc.cli.localize_video import is_video, localize_video, refuse_video_options, video_options

if TYPE_CHECKING:
    from irploc.localizer import Localization, Localizer
    from irploc.onnxmodel import OnnxLocalizer


@click.command()
@click.argument("images", nargs=-1, required=True, type=PATH, metavar="IMAGE_OR_FOLDER_OR_VIDEO...")
@click.option("--scene", help="Name of the scene.  [default: the one in the workspace that the photo fits best]")
@click.option(
    "--method",
    help="See 'irploc methods'; options follow colons, bdi:k=25.  [default: fused if a model is trained, else robust]",
)
@click.option("--model", type=FILE, help="Model file, also of 'irploc export'.  [default: models/<scene>.<method>.pt]")
@click.option("--embeddings", type=FILE, help="Embeddings file.  [default: embeddings/<scene>.h5]")
@click.option("--index", type=FILE, help="Index file.  [default: indexes/<scene>.faiss, else made in memory]")
@click.option(
    "--floor-map", type=FILE, help="Where one can walk, see 'irploc floormap'; tells positions outside and moves them."
)
@click.option(
    "--focal",
    type=float,
    help="Focal length in pixels, for 'structure'.  [default: EXIF, else the mapping photos', else found with the pose]",
)
@click.option("--encoder", help="Where the scene's encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image, one per line.")
@click.option("--poses", type=FILE, help="Also write 'name qw qx qy qz tx ty tz' (cam_from_world) lines.")
@video_options
@click.pass_context
def localize(
    ctx: click.Context,
    images: tuple[Path, ...],
    scene: str | None,
    method: str | None,
    model: Path | None,
    embeddings: Path | None,
    index: Path | None,
    floor_map: Path | None,
    focal: float | None,
    encoder: str | None,
    device: str,
    as_json: bool,
    poses: Path | None,
    **of_videos: Any,
) -> None:
    """Tell where photos were taken, or the frames of a video. Folders are searched for images.

    A photo that cannot be read does not stop the others; the exit code is 1 then. The poses of a video's frames are smoothed
    together.
    """
    from irploc.cli.localize_onnx import is_exported, open_exported, refuse_exported
    from irploc.errors import BadInput, IrplocError
    from irploc.geometry.poses import Poses
    from irploc.posefile import write_pose_file
    from irploc.progress import progress

    if any(is_video(path) for path in images):
        refuse_exported(model)
        where: dict[str, Any] = {"model": model, "encoder": encoder, "device": device, "embeddings": embeddings}
        where |= {"index": index, "floor_map": floor_map, "focal_px": focal}
        localize_video(ctx, images, scene, method, where, as_json, poses, of_videos)
        return
    refuse_video_options(of_videos)
    paths, names = _expand(images)
    localizer: Localizer | OnnxLocalizer
    if model is not None and is_exported(model):  # before anything imports torch
        others = {"--embeddings": embeddings, "--index": index, "--encoder": encoder, "--focal": focal}
        localizer = open_exported(model, scene, method, device, {**others, "--floor-map": floor_map})
    else:
        from irploc.localizer import Localizer

        home = workspace_of(ctx).root
        localizer = Localizer.open(scene, method, model, home, encoder, device, embeddings, index, floor_map, focal)
    for sentence in localizer.notes:
        note(sentence)
    answers: list[Localization] = []
    located: list[str] = []
    problems: list[str] = []
    shown_on_terminal = stdout_is_terminal()
    with progress("localizing", len(paths), "images", is_quiet(ctx) or shown_on_terminal) as bar:
        for name, answer in zip(names, localizer.localize_many(paths), strict=True):
            bar.advance()
            if isinstance(answer, IrplocError):
                problems.append(str(answer))
                continue
            click.echo(json.dumps(answer.to_json()) if as_json else _in_words(answer))
            answers.append(answer)
            located.append(name)
    if poses:
        write_pose_file(poses, located, Poses.concatenate([answer.pose for answer in answers]))
        note(f"{poses}: {sum(bool(answer.pose.valid[0]) for answer in answers)} poses")
    if problems:
        raise BadInput(
            problems[0] if len(paths) == 1 else f"{len(problems)} of {len(paths)} images failed; first: {problems[0]}"
        )


def _expand(images: tuple[Path, ...]) -> tuple[list[Path], list[str]]:
    """All photos, and the names they get in a pose file: relative to the folder given, whole paths where two would agree."""
    from irploc.errors import BadInput
    from irploc.images import list_images

    paths: list[Path] = []
    names: list[str] = []
    for item in images:
        if item.is_dir():
            found = list_images(item)
            if not found:
                raise BadInput(f"folder {item} has no images")
            paths.extend(found)
            names.extend(path.relative_to(item).as_posix() for path in found)
        else:
            paths.append(item)
            names.append(item.as_posix())
    return paths, names if len(set(names)) == len(names) else [path.as_posix() for path in paths]


def _in_words(answer: Localization) -> str:
    nearest = f"  nearest {answer.neighbours[0][0]} ({answer.neighbours[0][1]:.3f})" if answer.neighbours else ""
    if not answer.pose.valid[0]:
        reason = f"resembles nothing in {answer.scene}"
        if answer.note:
            reason = answer.note
        if answer.outside_m:
            reason = f"{answer.outside_m:.2f} m outside the floor map of {answer.scene}"
        return f"{answer.image}: {answer.status}, {reason} ({answer.method}){nearest}"
    x, y, z = answer.pose.centers_m[0]
    quat = " ".join(f"{value:+.4f}" for value in answer.pose.world_from_cam_wxyz[0])
    unit = "m" if answer.units == "metres" else f"({answer.units})"
    milliseconds = sum(answer.timing_ms.values())
    status = "" if answer.status == "ok" else f"  {answer.status}"
    confidence = "" if answer.confidence is None else f"  confidence {answer.confidence:.2f}"
    plane = _on_plane(answer)
    expected = ""
    if answer.expected_error is not None:
        expected = f"  expect {answer.expected_error[0]:.2g} {unit} {answer.expected_error[1]:.2g} deg"
    return (
        f"{answer.image}: x {x:.3f} y {y:.3f} z {z:.3f} {unit}  qwxyz {quat}{plane}{status}{confidence}{expected}  "
        f"in {answer.scene} by {answer.method}{nearest}  {milliseconds:.0f} ms{_camera(answer)}"
        f"{f'  ({answer.note})' if answer.note else ''}"
    )


def _camera(answer: Localization) -> str:
    """Whose focal length was used, where a method used one."""
    if answer.camera is None:
        return ""
    origin = {"given": "given", "focal": "as given", "exif": "by EXIF", "scene": "as mapped", "estimated": "estimated"}
    return f"  focal {max(answer.camera.camera.focal_px):.0f} px {origin[answer.camera.source]}"


def _on_plane(answer: Localization) -> str:
    """The pose seen from above, and how far outside the floor map it is; nothing where nobody knows what is up."""
    seen = answer.plane_pose
    if seen is None:
        return ""
    heading = "heading none" if seen.heading_deg is None else f"heading {seen.heading_deg:.1f} deg"
    words = f"  on the plane x {seen.x_m:.3f} y {seen.y_m:.3f} {heading}"
    if answer.corrected is None or not answer.corrected.moved_m:
        return words
    x, y, z = answer.corrected.center_m
    return f"{words}  {answer.corrected.moved_m:.3f} m outside, walkable at x {x:.3f} y {y:.3f} z {z:.3f}"
