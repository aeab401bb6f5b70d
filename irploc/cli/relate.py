"""`irploc relate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, note, workspace_of
from irploc.cli.recording import unit_name

if TYPE_CHECKING:
    from irploc.estimators.menet import Relation


@click.command()
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--scene", help="Name of the scene.  [default: the only one that has a model]")
@click.option("--model", type=FILE, help="Model file.  [default: models/<scene>.menet.pt]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def relate(ctx: click.Context, a: Path, b: Path, scene: str | None, model: Path | None, as_json: bool) -> None:
    """Tell how the camera of photo B stands to that of photo A: how far, in which direction, and how it is turned.

    By a MeNet ('irploc train menet'), which has learned the scale of one place: the answer holds for photos taken inside it,
    near enough to each other to see the same things. It is no measurement: read the errors to expect with it.
    """
    from irploc.estimators.menet import NOT_RELATED, Relator

    relator = Relator.open(scene, model, workspace_of(ctx).root)
    relation = relator.relate(a, b)
    if as_json:
        click.echo(json.dumps(relation.to_json()))
        return
    click.echo(_in_words(relation))
    if relation.status == NOT_RELATED:
        note("the answers for A, B and for B, A contradict each other: the photos may show other things, or another place")


def _in_words(relation: Relation) -> str:
    unit = "m" if unit_name(relation.units) == "metres" else f"({relation.units})"
    right, down, forward = relation.motion.centers_m[0]
    yaw, pitch, roll = relation.yaw_pitch_roll_deg
    turn = (_signed(yaw, "right", "left", ".1f"), _signed(pitch, "up", "down", ".1f"))
    expected = ""
    if relation.expected_error is not None:
        expected = f"  expect {relation.expected_error[0]:.2g} {unit} {relation.expected_error[1]:.2g} deg"
    return (
        f"{relation.a} -> {relation.b}: {relation.status}  {relation.distance_m:.3f} {unit}: "
        f"{_signed(right, 'right', 'left', '.3f')} {_signed(down, 'down', 'up', '.3f')} "
        f"{_signed(forward, 'forward', 'back', '.3f')}  turned {relation.rotation_deg:.1f} deg: {' '.join(turn)} "
        f"{_signed(roll, 'clockwise', 'anticlockwise', '.1f')}{expected}  "
        f"both orders agree to {relation.apart_m:.3f} {unit} {relation.apart_deg:.1f} deg  "
        f"in {relation.scene} by menet  {sum(relation.timing_ms.values()):.0f} ms"
    )


def _signed(value: float, positive: str, negative: str, digits: str) -> str:
    return f"{abs(value):{digits}} {positive if value >= 0 else negative}"
