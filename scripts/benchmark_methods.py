"""Every method of a scene in one table: accuracy, time, what has to be stored, and how long it takes to prepare.

    python scripts/benchmark_methods.py kitchen

The scene is one of the workspace (``IRPLOC_WORKSPACE``) with embeddings and whatever models and maps are there. Accuracy is
that of `irploc evaluate` on the test photos. Milliseconds are medians of queries asked one at a time, with embedding at hand
(the encoder's time, which all share, is in the line below); `structure` also decodes the photo and finds its features in
that time. Size is what must be kept to answer: embeddings of the mapping photos (float16, one version) where a method looks
for neighbours, its model, its map. Preparing is training or mapping (`irploc triangulate` is run anew for this), embedding
not included. Published figures are averages over the seven scenes with the original poses: they place us, they do not
compare.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_structure import build_ours, one, queries

from irploc.errors import BadInput
from irploc.estimators.build import Place, available_methods, open_place
from irploc.evaluation import evaluate_place
from irploc.images import decode_image
from irploc.localizer import encoder_of
from irploc.training.checkpoint import load_quietly
from irploc.workspace import Workspace

MEMBERS = {"fused": ("robust", "irpnet", "mlp"), "structure": ("fused",)}
PUBLISHED = (
    ("ACE", "0.028 m 0.93°"),
    ("hloc, SuperPoint and SuperGlue", "0.03 m 1.09°"),
    ("DSAC*", "0.03 m 1.36°"),
    ("Active Search", "0.04 m 1.18°"),
)
_NEIGHBOURS = ("nearest", "ewb", "csi", "bdi", "robust", "siamese")


def main() -> None:
    """Asks every method, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("--methods", help="comma-separated  [default: all that are there]")
    parser.add_argument("--asked", type=int, default=50, help="queries whose times are taken")
    options = parser.parse_args()
    home = Workspace.locate()
    place = open_place(home, options.scene)
    with place.store:
        methods = options.methods.split(",") if options.methods else available_methods(place)
        found = evaluate_place(place, methods).results
        print(
            "| method | median | mean | within 5 cm 5° | within 25 cm 2° | ms a query | kB a mapping photo | prepared in |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for method in methods:
            scores = found[method].scores.to_json()
            cells = [f"`{method}`", f"{scores['median_position_m']:.3f} m {scores['median_rotation_deg']:.2f}°"]
            cells.append(f"{scores['mean_position_m']:.3f} m {scores['mean_rotation_deg']:.2f}°")
            cells += [f"{100 * scores['recall'][name]:.1f} %" for name in ("0.05m_5deg", "0.25m_2deg")]
            cells += [f"{milliseconds(place, method, options.asked):.1f}", f"{kilobytes(place, method):.1f}"]
            print(f"| {' | '.join([*cells, prepared(home, place, options.scene, method)])} |", flush=True)
        for name, median in PUBLISHED:
            print(f"| {name}, published, average of 7-Scenes | {median} | | | | | | |")
        photos, encode_ms = len(place.index.frames), encoding_ms(place)
    asked = len(next(iter(found.values())).estimates)
    print(f"{photos} mapping photos, {asked} test photos; encoding takes {encode_ms:.0f} ms")


def name_of(method: str) -> str:
    """Without its options."""
    return method.partition(":")[0]


def milliseconds(place: Place, method: str, asked: int) -> float:
    """Median of single queries."""
    query, _ = queries(place, 1)
    rows = np.unique(np.linspace(0, len(query) - 1, asked).round().astype(int))
    estimator = place.estimator(method)
    one(estimator.estimate, query, 0)  # what is loaded on first use
    spent = []
    for row in rows.tolist():
        started = time.perf_counter()
        one(estimator.estimate, query, row)
        spent.append(time.perf_counter() - started)
    return 1e3 * float(np.median(spent))


def kilobytes(place: Place, method: str) -> float:
    """Of what a method needs, for each mapping photo."""
    names = {name_of(method)}
    while any(set(MEMBERS.get(name, ())) - names for name in names):
        names |= {member for name in names for member in MEMBERS.get(name, ())}
    total = sum(path.stat().st_size for name in names if (path := place.model_path(name)).is_file())
    count = len(place.index.frames)
    if names & {*_NEIGHBOURS, "structure"}:
        total += 2 * place.store.header.dimension * count
    return total / 1e3 / count


def prepared(home: Workspace, place: Place, scene: str, method: str) -> str:
    """Seconds of training or mapping; nothing where there is neither."""
    name = name_of(method)
    if name == "structure":
        with tempfile.TemporaryDirectory() as temporary:
            return f"{build_ours(home, scene, Path(temporary))['build_s']:.0f} s"
    content = load_quietly(place.model_path(name)) or {}
    seconds = content.get("record", {}).get("seconds")
    return "" if seconds is None else f"{seconds:.0f} s"


def encoding_ms(place: Place) -> float:
    """Median time for one photo, alone."""
    import torch

    encoder, side = encoder_of(place), place.store.header.max_side or None
    frames = place.store.frames.of_split("test")
    if not len(frames):
        raise BadInput(f"{place.store.path} has no test photos")
    spent = []
    for image in frames.images[:20]:
        pixels = np.asarray(decode_image(image, side)).transpose(2, 0, 1)[None]
        started = time.perf_counter()
        encoder.encode(torch.from_numpy(np.ascontiguousarray(pixels)))
        spent.append(time.perf_counter() - started)
    return 1e3 * float(np.median(spent))


if __name__ == "__main__":
    main()
