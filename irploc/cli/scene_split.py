"""`irploc scene split`, and the options it shares with `scene import`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from irploc.cli.common import note, workspace_of

if TYPE_CHECKING:
    import numpy as np

    from irploc.scene import Frames, Scene

_OPTIONS: dict[str, tuple[str, ...]] = {
    "blocks": ("block_size",),
    "modulo": ("modulo",),
    "sequence": ("test_sequences",),
    "fraction": ("test_fraction", "seed"),
    "all": (),
}


def split_options(default: str, block_size: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a split, for a command that says in words what it does without them."""
    options = (
        click.option("--split", "split_kind", help=f"blocks, modulo, sequence, fraction, or all (all map).  [{default}]"),
        click.option("--block-size", type=int, help=f"Frames a block, with --split blocks.  [default: {block_size}]"),
        click.option("--modulo", type=int, help="N of --split modulo.  [default: 3]"),
        click.option("--test-sequences", help="Comma-separated, with --split sequence.  [default: the last]"),
        click.option("--test-fraction", type=float, help="With --split fraction.  [default: 0.2]"),
        click.option("--seed", type=int, help="With --split fraction.  [default: 0]"),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def chosen_split(
    split_kind: str | None, test_sequences: str | None, lists: bool = False, **numbers: Any
) -> tuple[str | None, dict[str, Any]]:
    """The kind of split that is meant, None for none, and what its function in ``irploc.splits`` is to be told.

    Args:
        lists: whether lists of names split instead.

    Raises:
        BadInput: for an unknown kind, or options of another one.
    """
    from irploc.errors import BadInput

    given = {name: value for name, value in numbers.items() if value is not None}
    if test_sequences:
        given["test_sequences"] = [name.strip() for name in test_sequences.split(",")]
    if lists and split_kind:
        raise BadInput("give either --split or lists, not both")
    if split_kind is not None and split_kind not in _OPTIONS:
        raise BadInput(f"unknown --split {split_kind!r}, choose one of {', '.join(_OPTIONS)}")
    for name in given:
        kind = next(kind for kind, names in _OPTIONS.items() if name in names)
        if split_kind is None and not lists:
            split_kind = kind  # --block-size 30 alone can mean one thing only
        if kind != split_kind:
            raise BadInput(f"--{name.replace('_', '-')} goes with --split {kind}")
    return split_kind, given


def splits_of(frames: Frames, kind: str, given: dict[str, Any]) -> np.ndarray:
    """(N,) the split of each frame; photos whose poses irploc learn estimated map, whatever is asked."""
    import numpy as np

    from irploc import splits

    if kind == "all":
        return np.full(len(frames), "train", dtype=object)
    made = np.full(len(frames), "train", dtype=object)
    measured = ~frames.learned
    made[measured] = getattr(splits, f"by_{kind}")(frames[measured], **given)
    return made


@click.command("split")
@click.argument("scene_name", metavar="SCENE")
@split_options("one is needed", "a tenth of the walk in built scenes, 100 in others")
@click.pass_context
def split_scene(ctx: click.Context, scene_name: str, **splitting: Any) -> None:
    """Choose anew which photos of SCENE map the place and which test it.

    Poses, alignment and points stay as they are. Blocks and --modulo count the photos of a walk in a scene made by
    'irploc scene build', and frame numbers in an imported one. The scene must be embedded again afterwards.
    """
    from irploc.cli.scene import counts_in_words
    from irploc.errors import BadInput
    from irploc.scene import Scene

    kind, given = chosen_split(**splitting)
    if kind is None:
        raise click.UsageError(f"choose a split: --split {'|'.join(_OPTIONS)}")
    folder = workspace_of(ctx).scene_folder(scene_name)
    before = Scene.load(folder)
    after = before.with_splits(_counted(before, kind, given))
    if not (after.frames.splits == "train").any():
        raise BadInput(f"this split leaves no photo of {before.name} to map the place: hold fewer back")
    after.save(folder)
    click.echo(f"{folder}: {counts_in_words(after)}")
    if changed := int((before.frames.splits != after.frames.splits).sum()):
        note(f"{changed} photos changed their split: run 'irploc embed {scene_name}' again, then train its models again")
    else:
        note("the photos were split so already")
    if learned := int(after.frames.learned.sum()):
        note(f"{learned} photos whose poses irploc learn estimated go on mapping: they cannot test methods")


def _counted(scene: Scene, kind: str, given: dict[str, Any]) -> np.ndarray:
    """The splits; by place in the walk instead of frame number where the scene was built, as ``scene build`` does."""
    frames = scene.frames
    if scene.source == "build" and kind in ("blocks", "modulo"):
        from irploc.mapping.result import block_size_for, in_order_of_walks

        frames = in_order_of_walks(frames)
        if kind == "blocks" and "block_size" not in given:
            given = {"block_size": block_size_for(frames)}
    return splits_of(frames, kind, given)
