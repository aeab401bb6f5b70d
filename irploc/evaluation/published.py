"""Published medians of absolute pose regressors, and the rules by which the IRPNet paper compares them.

Numbers: IRPNet paper, Tables I, II and IV; final ranks as printed in Tables III and V. "IR Baseline" is not ranked there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

NOT_RANKED = ("IR Baseline", "MLP (Table I)")
MEDIUM_ACCURACY = (2.0, 5.0)  # metres, degrees

Medians = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class Published:
    """One dataset's table.

    Attributes:
        scenes: its columns.
        medians: method -> (metres, degrees) by scene.
        printed_ranks: method -> final rank as printed; some differ from what the printed medians give.
    """

    scenes: tuple[str, ...]
    medians: dict[str, tuple[tuple[float, float], ...]]
    printed_ranks: dict[str, int]


def _table(text: str) -> dict[str, tuple[tuple[float, float], ...]]:
    rows = {}
    for line in text.strip().splitlines():
        name, *cells = (cell.strip() for cell in line.split("|"))
        rows[name] = tuple((float(metres), float(degrees)) for metres, degrees in (cell.split("/") for cell in cells))
    return rows


PUBLISHED = {
    "cambridge": Published(
        ("K. College", "Old Hospital", "Shop Facade", "St. Mary"),
        _table("""
            PoseNet (Learnable) | 0.99/1.06 | 2.17/2.94 | 1.05/3.97 | 1.49/3.43
            GeoPoseNet | 0.88/1.04 | 3.20/3.29 | 0.88/3.78 | 1.57/3.32
            IRPNet | 1.18/2.19 | 1.87/3.38 | 0.72/3.47 | 1.87/4.94
            MapNet | 1.07/1.89 | 1.94/3.91 | 1.49/4.22 | 2.00/4.53
            LSTM-PN | 0.99/3.65 | 1.51/4.29 | 1.18/7.44 | 1.52/6.68
            GPoseNet | 1.61/2.29 | 2.62/3.89 | 1.14/5.73 | 2.93/6.46
            BayesianPN | 1.74/4.06 | 2.57/5.14 | 1.25/7.54 | 2.11/8.38
            PoseNet | 1.92/5.40 | 2.31/5.38 | 1.46/8.08 | 2.65/8.48
            SVS-Pose | 1.06/2.81 | 1.50/4.03 | 0.63/5.73 | 2.11/8.11
            IR Baseline | 1.48/4.45 | 2.68/4.63 | 0.90/4.32 | 1.62/6.06
            MLP (Table I) | 1.96/2.53 | 2.62/4.00 | 1.35/3.70 | 2.84/5.79
        """),
        {
            "PoseNet (Learnable)": 1,
            "GeoPoseNet": 2,
            "IRPNet": 3,
            "SVS-Pose": 3,
            "LSTM-PN": 5,
            "MapNet": 6,
            "GPoseNet": 7,
            "BayesianPN": 8,
            "PoseNet": 9,
        },
    ),
    "7scenes": Published(
        ("Chess", "Fire", "Heads", "Office", "Pumpkin", "Kitchen", "Stairs"),
        _table("""
            PoseNet (Learnable) | 0.14/4.50 | 0.27/11.8 | 0.18/12.1 | 0.20/5.77 | 0.25/4.82 | 0.24/5.52 | 0.37/10.6
            GeoPoseNet | 0.13/4.48 | 0.27/11.3 | 0.17/13.0 | 0.19/5.55 | 0.26/4.75 | 0.23/5.35 | 0.35/12.4
            IRPNet | 0.13/5.64 | 0.25/9.67 | 0.15/13.10 | 0.24/6.33 | 0.22/5.78 | 0.30/7.29 | 0.34/11.6
            MapNet | 0.08/3.25 | 0.27/11.7 | 0.18/13.3 | 0.17/5.15 | 0.22/4.02 | 0.23/4.93 | 0.30/12.1
            LSTM-PN | 0.24/5.77 | 0.34/11.9 | 0.21/13.7 | 0.30/8.08 | 0.33/7.00 | 0.37/8.83 | 0.40/13.7
            GPoseNet | 0.20/7.11 | 0.38/12.3 | 0.21/13.8 | 0.28/8.83 | 0.37/6.94 | 0.35/8.15 | 0.37/12.5
            BayesianPN | 0.37/7.24 | 0.43/13.7 | 0.31/12.0 | 0.48/8.04 | 0.61/7.08 | 0.58/7.54 | 0.48/13.1
            PoseNet | 0.32/8.12 | 0.47/14.4 | 0.29/12.0 | 0.48/7.68 | 0.47/8.42 | 0.59/8.64 | 0.47/13.8
            IR Baseline | 0.18/10.0 | 0.33/12.4 | 0.15/14.3 | 0.25/10.1 | 0.26/9.42 | 0.27/11.1 | 0.24/14.7
        """),
        {
            "MapNet": 1,
            "GeoPoseNet": 2,
            "IRPNet": 3,
            "PoseNet (Learnable)": 4,
            "GPoseNet": 5,
            "LSTM-PN": 6,
            "BayesianPN": 6,
            "PoseNet": 8,
        },
    ),
}


@dataclass(frozen=True)
class Ranks:
    """Of one method: by scene (position, orientation), their means over the scenes, and the final one."""

    by_scene: tuple[tuple[int, int], ...]
    mean_position: float
    mean_orientation: float
    final: int


def rank(medians: Medians) -> dict[str, Ranks]:
    """Ranks by the paper's rule: per scene by position and by orientation, each averaged over the scenes; the final rank is
    by the mean of the two averages; ties take the lower rank.

    Args:
        medians: method -> (metres, degrees) by scene, the same scenes for all.

    Source: IRPNet paper, section IV-C, Tables III and V; some printed cells do not follow from the printed medians.
    """
    values = np.array([medians[name] for name in medians])  # (methods, scenes, 2)
    places = 1 + (values[None] < values[:, None]).sum(axis=1)
    means = places.mean(axis=1)
    both = means.mean(axis=1)
    finals = 1 + (both[None] < both[:, None] - 1e-12).sum(axis=1)
    return {
        name: Ranks(
            tuple((int(position), int(orientation)) for position, orientation in places[row]),
            float(means[row, 0]),
            float(means[row, 1]),
            int(finals[row]),
        )
        for row, name in enumerate(medians)
    }


def share_of_medium_accuracy(medians: Sequence[tuple[float, float]]) -> float:
    """Share of all medians of a method strictly under 2 m or 5 degrees, positions and orientations counted singly.

    Source: IRPNet paper, Table VI.
    """
    return float((np.array(medians) < MEDIUM_ACCURACY).mean())
