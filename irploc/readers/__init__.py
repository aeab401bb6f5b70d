"""One module per dataset family; importing this package registers all of them."""

from irploc.readers import cambridge, colmap, nerfstudio, sevenscenes, table, tum
from irploc.readers.base import READERS, Imported, Reader, ReadOptions

__all__ = [
    "READERS",
    "Imported",
    "ReadOptions",
    "Reader",
    "cambridge",
    "colmap",
    "nerfstudio",
    "sevenscenes",
    "table",
    "tum",
]
