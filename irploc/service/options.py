"""What operators choose: limits, addresses, who may ask."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path

from irploc.errors import BadInput

MEGABYTE = 1_000_000
_SHORTEST_TOKEN = 16
_ORIGIN = re.compile(r"https?://[^/\s@?#]+")
_HOST = re.compile(r"[\w-]+(?:\.[\w-]+)*\.?(?::\d{1,5})?", re.ASCII)
_BRACKETED = re.compile(r"\[(.*)\](:\d{1,5})?")
_TYPED = {  # how operators give them: that is what messages name
    "images": "--max-images",
    "upload_mb": "--max-upload-mb",
    "received_mb": "--max-memory-mb",
    "megapixels": "--max-megapixels",
    "queue": "--queue",
    "batch": "--batch",
    "timeout_s": "--timeout",
    "batch_wait_ms": "--batch-wait-ms",
    "keep_mb": "--keep-mb",
}


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise BadInput(f"{_TYPED[name]} is {value:g}, expected a finite number above 0")


@dataclass(frozen=True)
class Limits:
    """What one request, and all of them together, may take.

    Attributes:
        images: photos in one request.
        upload_mb: megabytes of one request's body.
        received_mb: megabytes of uploads that are in memory at once, of all requests.
        megapixels: width times height of one photo, refused before it is decoded.
        queue: photos that were accepted and are not answered yet.
        batch: photos that are encoded at once.
        batch_wait_ms: how long an idle encoder waits for photos that are being decoded already.
        timeout_s: seconds from a request's arrival in which it is answered, or refused.
    """

    images: int = 16
    upload_mb: float = 64.0
    received_mb: float = 512.0
    megapixels: float = 50.0
    queue: int = 64
    batch: int = 8
    batch_wait_ms: float = 4.0
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("images", "upload_mb", "received_mb", "megapixels", "queue", "batch", "timeout_s"):
            _check_positive(name, getattr(self, name))
        if not 0 <= self.batch_wait_ms < float("inf"):
            raise BadInput(f"{_TYPED['batch_wait_ms']} is {self.batch_wait_ms:g}, expected 0 or a finite number above it")
        if self.images > self.queue:
            raise BadInput(
                f"a request may have {self.images} photos, the queue only {self.queue}: lower --max-images or raise --queue"
            )

    @property
    def upload_bytes(self) -> int:
        """Of one request's body."""
        return int(self.upload_mb * MEGABYTE)

    @property
    def received_bytes(self) -> int:
        """Of all uploads in memory."""
        return int(max(self.received_mb, self.upload_mb) * MEGABYTE)

    @property
    def pixels(self) -> int:
        """Of one photo."""
        return int(self.megapixels * 1e6)


@dataclass(frozen=True)
class ServiceOptions:
    """How a service runs.

    Attributes:
        limits: of requests.
        token: what clients must send as ``Authorization: Bearer TOKEN``; None asks nobody.
        keep_uploads: folder in which uploads are kept; None keeps nothing.
        keep_mb: megabytes of that folder after which nothing more is kept.
        allowed_hosts: names by which the service may be called; empty allows all.
        allowed_origins: origins of other pages that may ask from a browser.
        thumbnails: whether mapping photos are shown, reduced.
    """

    limits: Limits = Limits()
    token: str | None = field(default=None, repr=False)
    keep_uploads: Path | None = None
    keep_mb: float = 1000.0
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    thumbnails: bool = True

    def __post_init__(self) -> None:
        _check_positive("keep_mb", self.keep_mb)
        if self.token is not None:
            check_token(self.token)
        for origin in self.allowed_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise BadInput(f"{origin!r} is no origin, expected for example https://example.org or http://localhost:3000")


def check_token(token: str) -> str:
    """The token; raises BadInput for one that cannot be sent in a header, or is soon guessed."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput("the token may have letters, digits and signs of ASCII, no spaces")
    if len(token) < _SHORTEST_TOKEN:
        raise BadInput(f"the token has {len(token)} characters, expected {_SHORTEST_TOKEN} or more")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hosts_to_allow(host: str, added: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The names by which a service at an address may be called; none, so all, where it is reached from other machines.

    A page of another site may point its name at this machine: the browser then takes the service for a part of that site.

    Raises:
        BadInput: where one that is added is no host name.
    """
    if not added and not is_loopback(host):
        return ()
    return tuple(dict.fromkeys([host, "localhost", "127.0.0.1", "::1", *map(_host_name, added)]))


def _host_name(typed: str) -> str:
    """As it is compared with what requests say: IPv6 addresses in short, and in brackets only before a port."""
    bracketed = _BRACKETED.fullmatch(typed)
    address, port = bracketed.groups("") if bracketed else (typed, "")
    try:
        shortest = str(ipaddress.IPv6Address(address))
    except ValueError:
        if _HOST.fullmatch(typed):
            return typed
        wanted = "place.example.org, place.example.org:8443, ::1 or [::1]:8443"
        raise BadInput(f"{typed!r} is no host name, expected for example {wanted}") from None
    return f"[{shortest}]{port}" if port else shortest
