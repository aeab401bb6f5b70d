"""Files from the network, with progress; the only place that opens a connection."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from irploc.errors import BadInput, NotFound
from irploc.progress import progress

_BLOCK_BYTES = 1 << 20
_MEGABYTE = 1_000_000
_TIMEOUT_S = 30.0
_SCHEMES = ("http", "https", "file")


def download(url: str, target: Path, title: str, advice: str, quiet: bool = True) -> str:
    """Writes what an address gives to ``target``; its hex sha256.

    Args:
        url: http, https or file.
        target: written as it comes; removing it after a failure is the caller's business.
        title: of the progress bar.
        advice: what the user can do instead, for the messages.
        quiet: no progress bar.

    Raises:
        NotFound: it cannot be reached. BadInput: not such an address, or the connection broke off.
    """
    if urlsplit(url).scheme not in _SCHEMES:
        raise BadInput(f"{url!r} is not an address to download from, it must begin with https://, http:// or file://")
    request = urllib.request.Request(url, headers={"User-Agent": "irploc"})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as response:
            return _copy(response, target, title, quiet)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise NotFound(f"cannot download {url} ({reason}): {advice}") from None
    except _BrokenOff as error:
        raise BadInput(f"the download of {url} broke off after {error}: try again, or {advice}") from None


class _BrokenOff(Exception):
    """Fewer bytes came than were announced."""


def _copy(response: http.client.HTTPResponse, target: Path, title: str, quiet: bool) -> str:
    announced = int(response.headers.get("Content-Length") or 0)
    digest, received = hashlib.sha256(), 0
    with target.open("wb") as file, progress(title, announced // _MEGABYTE, "MB", quiet) as bar:
        while block := response.read(_BLOCK_BYTES):
            file.write(block)
            digest.update(block)
            before, received = received, received + len(block)
            bar.advance(received // _MEGABYTE - before // _MEGABYTE)
    if received < announced:
        raise _BrokenOff(f"{received:,} of {announced:,} bytes")
    return digest.hexdigest()
