"""The photos that a video becomes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from irploc.errors import BadInput, IrplocError
from irploc.files import write_text
from irploc.images import decoded_size
from irploc.mapping.photos import PhotoSet
from irploc.mapping.selection import Selection, SelectionOptions, select_frames
from irploc.mapping.video import Measured, VideoFacts, extract_frames, frame_name, measure_frames, video_facts
from irploc.progress import Stages
from irploc.scene import Rejected

_CUT_OFF = 0.95  # of the frames that the header promises


def photos_of_video(
    video: Path, images: Path, work: Path, options: SelectionOptions, stages: Stages
) -> tuple[PhotoSet, float]:
    """Writes the chosen frames of a video to ``work/images``, named by their number in the video.

    What was chosen is kept in ``work``, so that a second call finds it.

    Args:
        images: where the photos will lie in the end.

    Returns:
        the photos, and the share of the frames of all time slots that was left out as blurred.

    Raises:
        NotFound, BadInput: as ``video_facts``, ``measure_frames`` and ``extract_frames``; a video without motion.
    """
    record, readable = work / "frames.json", work / "images"
    chosen = _known(record, readable)
    if chosen is None:
        chosen = _choose(video, readable, options, stages)
        write_text(record, json.dumps(chosen))
    names = tuple(frame_name(number) for number in chosen["numbers"])
    left_out = tuple(Rejected(frame_name(number), number, reason) for number, reason in chosen["left_out"])
    times = dict(zip(chosen["numbers"], chosen["times_s"], strict=True))
    walk = re.sub(r"[\x00-\x1f]", "_", video.stem)
    photos = PhotoSet(images, names, (walk,) * len(names), readable, names, left_out, chosen["words"], times)
    slots = len(names) + len(left_out)
    return photos, sum(reason == "blurred" for _, reason in chosen["left_out"]) / max(slots, 1)


def _known(record: Path, images: Path) -> dict[str, Any] | None:
    """What an earlier run chose, if its record and all its frames are whole."""
    try:
        chosen = json.loads(record.read_text())
        for number in chosen["numbers"]:
            decoded_size(images / frame_name(number))
        return {name: chosen[name] for name in ("numbers", "times_s", "left_out", "words")}
    except (OSError, ValueError, KeyError, TypeError, IrplocError):
        return None


def _choose(video: Path, images: Path, options: SelectionOptions, stages: Stages) -> dict[str, Any]:
    """Measures, selects and extracts; plain values for the record."""
    facts = video_facts(video)
    with stages("looking at frames", facts.frames, "frames") as bar:
        measured = measure_frames(video, facts, bar)
    selection = select_frames(measured, options)
    if len(selection.numbers) < 2:
        raise BadInput(_why_nothing(video, measured, selection, options))
    with stages("frames to photos", len(selection.numbers), "frames") as bar:
        extract_frames(video, selection.numbers, images, bar)
    dropped = [(int(n), reason) for n, reason in zip(selection.candidates, selection.reasons, strict=True) if reason]
    return {
        "numbers": selection.numbers.tolist(),
        "times_s": measured.times_s[selection.numbers].round(6).tolist(),
        "left_out": dropped,
        "words": _in_words(video, facts, measured, selection, options),
    }


def _why_nothing(video: Path, measured: Measured, selection: Selection, options: SelectionOptions) -> str:
    count, seconds = len(measured), float(np.ptp(measured.times_s))
    if len(selection.candidates) < 2:
        few = f"{video}: {count} frames in {seconds:.1f} s are too few at --fps {options.fps:g}"
        return f"{few}: film a longer walk, or raise --fps"
    return f"{video}: nothing moves in its {count} frames: film while walking through the place"


def _in_words(video: Path, facts: VideoFacts, measured: Measured, selection: Selection, options: SelectionOptions) -> str:
    seconds = float(measured.times_s.max() - measured.times_s.min()) + 1.0 / max(facts.fps, 1.0)
    words = (
        f"{video.name}: {len(measured)} frames in {seconds:.1f} s; {len(selection.numbers)} of {len(selection.candidates)} "
        f"taken at up to {options.fps:g} a second ({selection.dropped('blurred')} blurred, "
        f"{selection.dropped('no motion')} without motion left out)"
    )
    if len(measured) < _CUT_OFF * facts.frames:
        words += f"; the file is cut off: its header promises {facts.frames} frames"
    return words
