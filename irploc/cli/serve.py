"""`irploc serve`."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import click

from irploc.cli.common import FILE, FOLDER, is_quiet, note, workspace_of
from irploc.service.options import Limits, ServiceOptions, hosts_to_allow, is_loopback

TOKEN_VARIABLE = "IRPLOC_TOKEN"
_LIMITS = Limits()


@click.command()
@click.argument("scenes", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for other machines.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--method", "methods", multiple=True, help="Methods to load, the first is the default.  [default: all]")
@click.option(
    "--floor-map", "floor_maps", multiple=True, metavar="[SCENE=]TOML", help="Where one can walk; the first is the default."
)
@click.option("--encoder", help="Where the scenes' encoder is now, if it moved: onnx:PATH.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N.")
@click.option(
    "--token-file",
    type=FILE,
    help=f"Ask for 'Authorization: Bearer' and the token in this file.  [default: ${TOKEN_VARIABLE}]",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Another name by which the service may be called.  [default: localhost, or any if --host is no loopback]",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Another site whose pages may ask: https://example.org; * for all.  [default: none]",
)
@click.option("--keep-uploads", type=FOLDER, help="Keep photos that were answered, with their answers.  [default: nothing]")
@click.option("--keep-mb", type=float, default=ServiceOptions.keep_mb, show_default=True, help="Keep no more than this.")
@click.option("--max-images", type=int, default=_LIMITS.images, show_default=True, help="Photos in one request.")
@click.option("--max-upload-mb", type=float, default=_LIMITS.upload_mb, show_default=True, help="Of one request.")
@click.option(
    "--max-memory-mb", type=float, default=_LIMITS.received_mb, show_default=True, help="Uploads in memory at once."
)
@click.option("--max-megapixels", type=float, default=_LIMITS.megapixels, show_default=True, help="Of one photo.")
@click.option("--queue", type=int, default=_LIMITS.queue, show_default=True, help="Photos that may wait.")
@click.option("--batch", type=int, default=_LIMITS.batch, show_default=True, help="Photos that are encoded at once.")
@click.option(
    "--batch-wait-ms",
    type=float,
    default=_LIMITS.batch_wait_ms,
    show_default=True,
    help="How long an idle encoder waits for photos that are being decoded.",
)
@click.option("--timeout", type=float, default=_LIMITS.timeout_s, show_default=True, help="Seconds for one request.")
@click.option("--no-thumbnails", is_flag=True, help="Do not show mapping photos.")
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
    **of_service: Any,
) -> None:
    """Answer over HTTP where photos were taken, and show it on a page.

    SCENES are names in the workspace; without any, all that are embedded. Whoever reaches the address may ask, unless there
    is a token (and a warning says so). Tokens and photos are sent as they are: put a proxy with TLS before a service that
    others reach over a network.
    """
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it means to read the scenes again, which are about to be read
    _check_kept(ctx)
    options = _options(host, of_service)
    _check_installed()
    from irploc.service.hosting import HostingOptions
    from irploc.service.running import run

    if options.token is None and not is_loopback(host):
        note(f"warning: whoever reaches {host} can ask: set {TOKEN_VARIABLE} or --token-file to ask for a token")
    if options.token is None and "*" in options.allowed_origins:
        note(
            "warning: with --allow-origin '*' any page in a browser that reaches this address may ask: name the sites, "
            f"or set {TOKEN_VARIABLE} or --token-file to ask for a token"
        )
    floors = tuple((scene, Path(path)) for scene, path in map(_floor_map, floor_maps))
    run(
        HostingOptions(workspace_of(ctx), scenes, methods, floors, encoder, device),
        options,
        host,
        port,
        note,
        log_requests=not is_quiet(ctx),
    )


def _check_kept(ctx: click.Context) -> None:
    from irploc.errors import BadInput

    typed = ctx.get_parameter_source("keep_mb") != click.core.ParameterSource.DEFAULT
    if typed and ctx.params["keep_uploads"] is None:
        raise BadInput("--keep-mb limits --keep-uploads, which is not given: say in which folder uploads are kept")


def _options(host: str, typed: dict[str, Any]) -> ServiceOptions:
    limits = Limits(
        images=typed["max_images"],
        upload_mb=typed["max_upload_mb"],
        received_mb=typed["max_memory_mb"],
        megapixels=typed["max_megapixels"],
        queue=typed["queue"],
        batch=typed["batch"],
        batch_wait_ms=typed["batch_wait_ms"],
        timeout_s=typed["timeout"],
    )
    return ServiceOptions(
        limits=limits,
        token=_token(typed["token_file"]),
        keep_uploads=typed["keep_uploads"],
        keep_mb=typed["keep_mb"],
        allowed_hosts=hosts_to_allow(host, typed["hosts"]),
        allowed_origins=typed["origins"],
        thumbnails=not typed["no_thumbnails"],
    )


def _token(file: Path | None) -> str | None:
    """From a file or the environment; never from the command line, which other users of the machine can see."""
    from irploc.errors import BadInput, NotFound
    from irploc.service.options import check_token

    if file is None:
        token = os.environ.get(TOKEN_VARIABLE)
    elif not file.is_file():
        raise NotFound(f"no file {file}")
    else:
        token = file.read_text(encoding="utf-8", errors="replace").strip()
    if token is None:
        return None
    where = str(file or f"${TOKEN_VARIABLE}")
    if not token:
        raise BadInput(f"{where} is empty, expected a token")  # an unset variable of a script must not open the service
    if (lines := len(token.splitlines())) > 1:
        raise BadInput(f"{where} has {lines} lines, expected the token alone")
    try:
        return check_token(token)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from None


def _check_installed() -> None:
    from importlib.util import find_spec

    from irploc.errors import NotFound

    needed = ("fastapi", "fastapi_offline", "httptools", "plotly", "prometheus_client", "python_multipart", "uvicorn")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise NotFound(f"'irploc serve' needs {', '.join(missing)}: pip install 'irploc[service]'")


def _floor_map(typed: str) -> tuple[str, str]:
    scene, found, path = typed.partition("=")
    return ("", typed) if not found or Path(typed).is_file() else (scene, path)
