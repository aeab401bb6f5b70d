"""Writing pose files: ``name qw qx qy qz tx ty tz``, cam_from_world. They are read in ``evaluation.pose_files``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from irploc.files import write_text
from irploc.geometry.poses import Poses

LAYOUT = "name qw qx qy qz tx ty tz"


def write_pose_file(path: Path, names: Sequence[str], poses: Poses, comments: Sequence[str] = ()) -> int:
    """Writes the rows that hold a pose, in full precision; the others are left out, which is how they read back.

    Names with spaces, and those that would read as a comment, are written as JSON strings.

    Args:
        comments: lines to write first, each behind a ``#``.

    Returns:
        How many rows were written.
    """
    qvec, tvec = poses.to_cam_from_world()
    rows = np.flatnonzero(poses.valid).tolist()
    lines = [f"# {comment}" for comment in [*comments, f"{LAYOUT} (cam_from_world, in the units of the scene)"]]
    for row in rows:
        numbers = " ".join(repr(float(value)) for value in (*qvec[row], *tvec[row]))
        lines.append(f"{_written(names[row])} {numbers}")
    write_text(path, "\n".join(lines) + "\n")
    return len(rows)


def _written(name: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in name):  # bytes of a file name that are not UTF-8
        return json.dumps(name)
    needs_quotes = not name or name.split() != [name] or name[0] in '#"'
    return json.dumps(name, ensure_ascii=False) if needs_quotes else name
