"""What operators choose: limits, addresses, who may ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from irploc.errors import BadInput

MEGABYTE = 1_000_000


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
            if not 0 < getattr(self, name) < float("inf"):
                raise BadInput(f"the limit {name} is {getattr(self, name):g}, it must be positive")
        if not 0 <= self.batch_wait_ms < float("inf"):
            raise BadInput(f"batch_wait_ms is {self.batch_wait_ms:g}, it must not be negative")
        if self.images > self.queue:
            raise BadInput(f"a request may have {self.images} photos, more than the {self.queue} of the queue")

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
        allowed_hosts: names by which the service may be called; empty allows all.
        allowed_origins: origins of other pages that may ask from a browser.
        thumbnails: whether mapping photos are shown, reduced.
    """

    limits: Limits = Limits()
    token: str | None = None
    keep_uploads: Path | None = None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    thumbnails: bool = True
