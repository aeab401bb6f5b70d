"""What a trained MeNet says of pairs: asked in both orders, because each answer is a test of the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from irploc.geometry.poses import Poses, pose_errors
from irploc.training.menet.motions import halfway, inverse
from irploc.training.menet.network import MeNet
from irploc.training.posevector import PoseVector


@dataclass(frozen=True)
class Answers:
    """Of P pairs.

    Attributes:
        motions: P ``a_from_b``, halfway between what both orders say.
        one_way: P by the order (a, b) alone.
        apart_m, apart_deg: (P,) how far the two lie apart.
    """

    motions: Poses
    one_way: Poses
    apart_m: np.ndarray
    apart_deg: np.ndarray


@torch.inference_mode()
def ask(menet: MeNet, code: PoseVector, first: torch.Tensor, second: torch.Tensor) -> Answers:
    """Of normalized photos (P, 3, H, W) each; ``menet`` is in evaluation mode."""
    outputs = menet(torch.cat([first, second]), torch.cat([second, first])).double().cpu().numpy()
    there, back = code.decode(outputs[: len(first)]), inverse(code.decode(outputs[len(first) :]))
    return Answers(halfway(there, back), there, *pose_errors(there, back))
