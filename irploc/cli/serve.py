"""`irploc serve`."""

from __future__ import annotations

from pathlib import Path

import click

from irploc.cli.common import note, workspace_of


@click.command()
@click.argument("scenes", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--method", "methods", multiple=True, help="Methods to load, the first is the default.  [default: all]")
@click.option("--floor-map", "floor_maps", multiple=True, metavar="[SCENE=]TOML", help="Floor maps; repeatable.")
@click.option("--encoder", help="Where the scenes' encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.pass_context
def serve(
    ctx: click.Context,
    scenes: tuple[str, ...],
    host: str,
    port: int,
    methods: tuple[str, ...],
    floor_maps: tuple[str, ...],
    encoder: str | None,
    device: str,
) -> None:
    """Answer over HTTP where photos were taken, and show it on a page."""
    from irploc.service.hosting import HostingOptions
    from irploc.service.options import ServiceOptions
    from irploc.service.running import run

    floors = tuple((scene, Path(path)) for scene, path in map(_floor_map, floor_maps))
    hosting = HostingOptions(workspace_of(ctx), scenes, methods, floors, encoder, device)
    run(hosting, ServiceOptions(), host, port, note)


def _floor_map(typed: str) -> tuple[str, str]:
    scene, found, path = typed.rpartition("=")
    return (scene, path) if found else ("", typed)
