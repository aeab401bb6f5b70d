"""Frames of a video, read by the ffmpeg that ships inside a Python package: what each looks like, and some as photos."""

from __future__ import annotations

import logging
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from irploc.errors import BadInput, NotFound
from irploc.progress import Progress, Silent

_TEXT_CODECS = ("ansi", "bintext", "xbin", "idf")  # ffmpeg draws text files
_SIDE = 480  # pixels of the longer side that frames are measured at
_THUMBNAIL = 80  # so that an hour of video fits into memory
_QUALITY = 2  # of ffmpeg's JPEG, 2 to 31; 2 is the best that every reader takes
_SQUARE = "scale=w='trunc(iw*sar/2)*2':h='trunc(ih/2)*2',setsar=1"  # cameras are modelled with square pixels
_TIME = re.compile(rb"\bn:\s*(\d+)\s+pts:\s*\S+\s+pts_time:\s*(-?[\d.]+)")


@dataclass(frozen=True)
class VideoFacts:
    """What the header of a video says.

    Attributes:
        width, height: of the upright frames in pixels, rotation metadata applied.
        fps: frames a second, on average.
        frames: how many there should be.
    """

    width: int
    height: int
    fps: float
    frames: int


@dataclass(frozen=True)
class Measured:
    """All N frames of a video, in order.

    Attributes:
        times_s: (N,) presentation times; their distances vary where the frame rate does.
        sharpness: (N,) variance of the Laplacian of the grey image.
        thumbnails: (N, h, w) uint8, blurred a little.
    """

    times_s: np.ndarray
    sharpness: np.ndarray
    thumbnails: np.ndarray

    def __len__(self) -> int:
        return len(self.times_s)


def frame_name(number: int) -> str:
    """The file that a frame (0-based) becomes."""
    return f"frame-{number:06d}.jpg"


def video_facts(video: Path) -> VideoFacts:
    """What the header says.

    Raises:
        NotFound: no such file. BadInput: it is no video, or ffmpeg is not installed.
    """
    if not video.is_file():
        raise NotFound(f"no video {video}")
    try:
        reader = _imageio_ffmpeg().read_frames(str(video.absolute()))
        meta = next(reader)
        reader.close()
    except (OSError, RuntimeError, StopIteration, KeyError, IndexError, ValueError):
        raise BadInput(f"{video} is not a video that ffmpeg can read: it is damaged, empty, or something else") from None
    if meta.get("codec") in _TEXT_CODECS:
        raise BadInput(f"{video} is a text file, not a video")
    width, height = meta["size"]
    fps, seconds = float(meta.get("fps") or 0.0), float(meta.get("duration") or 0.0)
    return VideoFacts(int(width), int(height), fps, max(round(fps * seconds), 0))


def measure_frames(video: Path, facts: VideoFacts, progress: Progress | None = None) -> Measured:
    """Decodes every frame once, small and grey.

    Args:
        progress: takes a step per frame.

    Raises:
        BadInput: where nothing can be decoded.
    """
    progress = progress or Silent()
    scale = min(1.0, _SIDE / max(facts.width, facts.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (facts.width, facts.height))
    small = max(1, round(max(width, height) / _THUMBNAIL))
    filters = f"scale={width}:{height}:flags=area,format=gray,showinfo"
    sharpness, thumbnails = [], []
    with tempfile.TemporaryFile() as said:
        command = [
            "-i",
            str(video.absolute()),
            "-map",
            "0:v:0",
            "-vf",
            filters,
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "pipe:1",
        ]
        with _ffmpeg(command, said) as process:
            assert process.stdout is not None
            while len(content := process.stdout.read(width * height)) == width * height:
                grey = np.frombuffer(content, np.uint8).reshape(height, width).astype(np.float32)
                sharpness.append(float(ndimage.laplace(grey).var()))
                blurred = ndimage.uniform_filter(grey, small)[small // 2 :: small, small // 2 :: small]
                thumbnails.append(blurred.round().astype(np.uint8))
                progress.advance()
        said.seek(0)
        times = {int(number): float(stamp) for number, stamp in _TIME.findall(said.read())}
    if not sharpness:
        raise BadInput(f"{video}: no frame can be decoded: the file is damaged, or cut off before its first frame")
    stamps = np.array([times.get(number, np.nan) for number in range(len(sharpness))])
    if np.isnan(stamps).any():
        stamps = np.arange(len(sharpness)) / max(facts.fps, 1e-3)
    return Measured(stamps, np.array(sharpness), np.stack(thumbnails))


def extract_frames(video: Path, numbers: Sequence[int] | np.ndarray, folder: Path, progress: Progress | None = None) -> None:
    """Writes frames as upright JPEG files ``frame_name(number)``, all of them at the end; files of that name are replaced.

    Raises:
        BadInput: no room on the disk, or a frame that cannot be decoded.
    """
    progress = progress or Silent()
    wanted = [int(number) for number in sorted(numbers)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".frames-") as temporary:
            written = _extract(video, wanted, Path(temporary), progress)
            for number, file in zip(wanted, written, strict=False):
                file.replace(folder / frame_name(number))
    except OSError as error:
        raise BadInput(f"cannot write frames to {folder}: {error.strerror or error}") from None
    if len(written) < len(wanted):
        raise BadInput(f"{video}: only {len(written)} of {len(wanted)} frames can be decoded; the file is damaged")


def _extract(video: Path, numbers: list[int], folder: Path, progress: Progress) -> list[Path]:
    """The files that ffmpeg wrote whole, in order."""
    script = folder / "filters.txt"
    script.write_text(f"select='{_chosen(numbers)}',{_SQUARE}")
    command = ["-i", str(video.absolute()), "-map", "0:v:0", "-/filter:v", script.name, "-fps_mode", "passthrough"]
    command += ["-q:v", str(_QUALITY), "-qmin", "1", "-progress", "pipe:1", "-f", "image2", "%08d.jpg"]
    done = 0
    with tempfile.TemporaryFile() as said:
        with _ffmpeg(command, said, folder) as process:  # a % in the folder's name would be taken for a number's place
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"frame="):
                    now = int(line.split(b"=")[1])
                    progress.advance(now - done)
                    done = now
            failed = process.wait() != 0
        said.seek(0)
        words = said.read().decode(errors="replace")
    if failed and "No space left" in words:
        raise BadInput(f"no space left on the disk for {len(numbers)} frames in {folder.parent}")
    files = sorted(folder.glob("*.jpg"))
    return files[:-1] if failed else files


def _chosen(numbers: list[int]) -> str:
    """An expression of ffmpeg's that is true for these frame numbers; it asks by halves, so that thousands are quick."""
    if len(numbers) <= 8:
        return "+".join(f"eq(n,{number})" for number in numbers)
    middle = len(numbers) // 2
    return f"if(lt(n,{numbers[middle]}),{_chosen(numbers[:middle])},{_chosen(numbers[middle:])})"


@contextmanager
def _ffmpeg(arguments: list[str], said: Any, folder: Path | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A running ffmpeg that is gone when the block ends, however it ends; a terminal's Ctrl-C reaches us alone."""
    command = [_imageio_ffmpeg().get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-nostats", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=folder, start_new_session=True)
    try:
        yield process
        process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _imageio_ffmpeg() -> Any:
    try:
        import imageio_ffmpeg

        logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns of every rotated video
    except ImportError:
        raise BadInput("videos need the package imageio-ffmpeg: pip install 'irploc[video]'") from None
    return imageio_ffmpeg


@dataclass(frozen=True)
class VideoFrame:
    """One frame of a video.

    Attributes:
        number: 0-based, in the video.
        time_s: its presentation time.
        pixels: (H, W, 3) uint8 RGB, upright.
    """

    number: int
    time_s: float
    pixels: np.ndarray


def read_frames(video: Path, facts: VideoFacts, every: int = 1) -> Iterator[VideoFrame]:
    """Every n-th frame of a video, one after the other, in full size; a file that is cut off ends early.

    Raises:
        BadInput: where nothing can be decoded.
    """
    width, height = facts.width, facts.height
    chosen = "" if every == 1 else f"select='not(mod(n,{every}))',"
    command = ["-i", str(video.absolute()), "-map", "0:v:0", "-vf", f"{chosen}scale={width}:{height},format=rgb24,showinfo"]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "pipe:1"]
    count = 0
    with tempfile.NamedTemporaryFile() as said, Path(said.name).open("rb") as heard, _ffmpeg(command, said) as process:
        assert process.stdout is not None
        times: dict[int, float] = {}
        rest = b""
        while len(content := process.stdout.read(width * height * 3)) == width * height * 3:
            whole, _, rest = (rest + heard.read()).rpartition(b"\n")
            times.update((int(number), float(stamp)) for number, stamp in _TIME.findall(whole))
            pixels = np.frombuffer(content, np.uint8).reshape(height, width, 3)
            time_s = times.pop(count, every * count / max(facts.fps, 1e-3))
            yield VideoFrame(every * count, time_s, pixels)
            count += 1
    if not count:
        raise BadInput(f"{video}: no frame can be decoded: the file is damaged, or cut off before its first frame")
