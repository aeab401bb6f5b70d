"""`irploc floormap`: where one can walk in a place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from irploc.cli.common import FILE, note, workspace_of

if TYPE_CHECKING:
    from irploc.floormap import Fit, FloorMap, Source
    from irploc.scene import Scene

_UP = "x, -x, y, -y, z or -z."


@click.group()
def floormap() -> None:
    """Where one can walk: make and look at floor maps for --floor-map."""


@floormap.command()
@click.option("--plan", type=FILE, help="Picture of the plan.")
@click.option("--metres-per-pixel", type=float, required=True, help="Side of a pixel of the plan.")
@click.option("--origin", metavar="X,Y", help="Lower left corner of the plan on the scene's plane, metres.  [default: 0,0]")
@click.option("--yaw", type=float, default=0.0, show_default=True, help="Turn of the plan, degrees counter-clockwise.")
@click.option("--walkable", required=True, metavar="PNG|'#rrggbb'|GEOJSON", help="Mask, colour on the plan, or polygons.")
@click.option("--tolerance", type=int, default=10, show_default=True, help="Of the colour, 0 to 255.")
@click.option(
    "--polygon-units", default="metres", show_default=True, help="metres (scene's plane) or pixels (of the plan, y down)."
)
@click.option("--up", default="z", show_default=True, help=f"The scene's vertical: {_UP}")
@click.option("--max-distance", type=float, default=1.0, show_default=True, help="Metres outside that are still believed.")
@click.option("--scene", help="Scene to check the map against.")
@click.option("--accept-outside", is_flag=True, help="Take a plan that --scene refuses; the file says so.")
@click.option("--out", type=FILE, required=True, help="TOML file to write.")
@click.option("--force", is_flag=True, help="Overwrite a floor map that is there.")
@click.pass_context
def new(
    ctx: click.Context,
    plan: Path | None,
    metres_per_pixel: float,
    origin: str | None,
    yaw: float,
    walkable: str,
    tolerance: int,
    polygon_units: str,
    up: str,
    max_distance: float,
    scene: str | None,
    accept_outside: bool,
    out: Path,
    force: bool,
) -> None:
    """Describe a plan that there is: its scale, where it lies, and what of it is walkable.

    The pictures stay where they are; the file names them. With --scene, a plan is refused when more than a fifth of the
    mapping photos are farther than 0.3 m from its walkable ground, and the scale or turn that would suit them is named.
    """
    from dataclasses import replace

    from irploc.floormap import check_fit, check_metric, make_floor_map

    if accept_outside and scene is None:
        raise click.UsageError("--accept-outside is for a plan that a scene refuses: it needs --scene")

    source = _source(walkable, tolerance, polygon_units)
    corner = None if origin is None else _numbers(origin)
    made = make_floor_map(source, metres_per_pixel, corner, yaw, up, max_distance, plan)
    fit: Fit | None = None
    if scene is not None:
        loaded = workspace_of(ctx).load_scene(scene)
        check_metric(loaded.units, f"scene {loaded.name}")
        walked = loaded.frames.of_split("train").poses
        fit = check_fit(replace(made, accept_outside=accept_outside), walked, f"scene {loaded.name}", strict=True)
        made = replace(made, accept_outside=accept_outside and fit.misfits)
    made.save(out, replace=force)
    click.echo(f"{out}: {_summary(made)}{_fitting(fit)}")


@floormap.command()
@click.argument("scene")
@click.option("--radius", type=float, default=0.5, show_default=True, help="Metres around the walks that are walkable.")
@click.option("--metres-per-pixel", type=float, default=0.05, show_default=True, help="Side of a pixel.")
@click.option("--up", help=f"The scene's vertical: {_UP}  [default: that of the photos]")
@click.option("--max-distance", type=float, default=1.0, show_default=True, help="Metres outside that are still believed.")
@click.option("--out", type=FILE, required=True, help="TOML file to write; its mask is written beside it.")
@click.option("--force", is_flag=True, help="Overwrite a floor map that is there.")
@click.pass_context
def grow(
    ctx: click.Context,
    scene: str,
    radius: float,
    metres_per_pixel: float,
    up: str | None,
    max_distance: float,
    out: Path,
    force: bool,
) -> None:
    """Where no plan exists: all ground near the mapping walks of SCENE is walkable."""
    from irploc.floormap import GrowOptions, grow_floor_map

    loaded = workspace_of(ctx).load_scene(scene)
    made = grow_floor_map(loaded, GrowOptions(radius, metres_per_pixel, up, max_distance))
    made.save(out, replace=force)
    click.echo(f"{out}: {_summary(made)}")


@floormap.command()
@click.argument("file", type=FILE)
@click.argument("scene", required=False)
@click.option("--poses", type=FILE, help="Estimates to draw: 'name qw qx qy qz tx ty tz', cam_from_world.")
@click.option("--out", type=FILE, required=True, help="Picture to write, .png.")
@click.pass_context
def show(ctx: click.Context, file: Path, scene: str | None, poses: Path | None, out: Path) -> None:
    """Draw a floor map; with SCENE also its mapping photos, with --poses also estimates and where they are moved."""
    from irploc.evaluation import read_pose_file
    from irploc.floormap import FloorMap, check_fit, check_metric
    from irploc.floormap.picture import check_picture_path, write_floor_picture

    floor_map = FloorMap.load(file)
    check_picture_path(floor_map, out, [file] if poses is None else [file, poses])
    loaded: Scene | None = None
    fit: Fit | None = None
    if scene is not None:
        loaded = workspace_of(ctx).load_scene(scene)
        check_metric(loaded.units, f"scene {loaded.name}")
    estimated = None if poses is None else read_pose_file(poses).poses
    walked = None if loaded is None else loaded.frames.of_split("train").poses
    write_floor_picture(floor_map, out, loaded.name if loaded else file.stem, walked, estimated)
    if loaded is not None and walked is not None:  # drawn before it is refused: the picture shows what is wrong
        fit = check_fit(floor_map, walked, f"scene {loaded.name} (see {out})", strict=True)
    moved = ""
    if estimated is not None:
        found = floor_map.move(estimated.centers_m)
        near = int((found.outside & ~found.too_far).sum())
        moved = f"; of {len(estimated)} estimates {near} moved onto the map, {int(found.too_far.sum())} too far away"
    click.echo(f"{out}: {_summary(floor_map)}{_fitting(fit)}{moved}")


def _fitting(fit: Fit | None) -> str:
    """What is said of a scene's photos; what is odd about them is noted."""
    if fit is None:
        return ""
    if fit.note is not None:
        note(fit.note + ("; taken all the same: accept_outside" if fit.misfits else ""))
    return f"; {fit.summary}"


def _source(walkable: str, tolerance: int, polygon_units: str) -> Source:
    from irploc.floormap import Source

    if walkable.startswith("#"):
        return Source(colour=walkable, tolerance=tolerance)
    path = Path(walkable)
    if path.suffix.lower() in (".geojson", ".json"):
        return Source(polygons=path, polygon_units=polygon_units)
    return Source(mask=path)


def _numbers(origin: str) -> tuple[float, float]:
    parts = origin.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError:
        raise click.UsageError(f"--origin is {origin!r}, expected X,Y in metres") from None
    return x, y


def _summary(floor_map: FloorMap) -> str:
    grid = floor_map.grid
    width, height = grid.width * grid.metres_per_pixel, grid.height * grid.metres_per_pixel
    area = floor_map.walkable.sum() * grid.metres_per_pixel**2
    return (
        f"{grid.width}x{grid.height} pixels, {width:.4g} x {height:.4g} m, {area:.4g} m² walkable "
        f"({100 * floor_map.walkable.mean():.0f} %), {floor_map.up} is up"
    )
