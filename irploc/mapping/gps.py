"""Positions by satellite: from the photos' EXIF, and as metres east, north and up of one of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from irploc.errors import BadInput
from irploc.pycolmap_safe import import_pycolmap

_GPS = 0x8825  # the EXIF directory
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = 1, 2, 3, 4, 5, 6


def east_north_up(lat_lon_alt: np.ndarray, where: str) -> tuple[np.ndarray, list[float]]:
    """Metres (N, 3) east, north and up of the first of N positions (degrees, degrees, metres; WGS84), and that origin.

    Raises:
        BadInput: for latitudes beyond 90 or longitudes beyond 180 degrees.
    """
    if np.any(np.abs(lat_lon_alt[:, :2]) > (90.0, 180.0)):
        raise BadInput(f"{where}: latitudes lie within 90 degrees and longitudes within 180")
    pycolmap = import_pycolmap()
    transform = pycolmap.GPSTransform(pycolmap.GPSTransformEllipsoid.WGS84)
    origin = [float(value) for value in lat_lon_alt[0]]
    return np.asarray(transform.ellipsoid_to_enu(lat_lon_alt, *origin)), origin


def photo_position(path: Path) -> np.ndarray | None:
    """(3,) latitude, longitude and altitude of a photo's EXIF; None without one, NaN for an altitude that is not there."""
    try:
        with Image.open(path) as image:
            return _position(image.getexif().get_ifd(_GPS))
    except FileNotFoundError:
        return None
    except (OSError, SyntaxError, ValueError, ZeroDivisionError, TypeError, KeyError):
        return None


def _position(tags: Mapping[int, Any]) -> np.ndarray | None:
    if _LATITUDE not in tags or _LONGITUDE not in tags:
        return None
    latitude = _degrees(tags[_LATITUDE]) * (-1 if _letter(tags.get(_LATITUDE_REF, "N")) == "S" else 1)
    longitude = _degrees(tags[_LONGITUDE]) * (-1 if _letter(tags.get(_LONGITUDE_REF, "E")) == "W" else 1)
    altitude = float(tags.get(_ALTITUDE, np.nan))
    below = tags.get(_ALTITUDE_REF, 0) in (1, b"\x01")
    place = np.array([latitude, longitude, -altitude if below else altitude])
    return place if np.isfinite(place[:2]).all() else None


def _degrees(parts: Any) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    return degrees + minutes / 60 + seconds / 3600


def _letter(value: Any) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
    return text.strip("\x00 ").upper()[:1]
