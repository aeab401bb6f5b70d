"""``Stack``: networks of one shape evaluated and trained at once, by batched matrix products."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap

from irploc.training.losses import Outputs
from irploc.training.models import Regressor


class Stack(nn.Module):
    """E networks whose weights lie in tensors with E in front; the networks themselves are views of them.

    What is changed in one of ``members`` is changed in the stack, and the other way round.

    Args:
        members: of the same shape, on the device where they stay.
    """

    def __init__(self, members: Sequence[Regressor]) -> None:
        super().__init__()
        self.members = tuple(members)
        self._shape = (copy.deepcopy(members[0]).to("meta"),)  # in a tuple: its parameters are not ours
        self._names = {name: name.replace(".", "_") for name, _ in members[0].named_parameters()}
        for name, ours in self._names.items():
            parts = [member.get_parameter(name) for member in members]
            stacked = nn.Parameter(torch.stack([part.detach() for part in parts]))
            self.register_parameter(ours, stacked)
            for part, values in zip(parts, stacked.detach(), strict=True):
                part.data = values

    def forward(self, embeddings_EBR: torch.Tensor) -> Outputs:
        """Outputs (E, B, p) of each network for its own (B, R) embeddings."""
        shape = self._shape[0].train(self.training)
        weights: Outputs = {name: self.get_parameter(ours) for name, ours in self._names.items()}

        def one(its_weights: Outputs, embeddings_BR: torch.Tensor) -> Outputs:
            outputs: Outputs = functional_call(shape, its_weights, (embeddings_BR,))
            return outputs

        outputs: Outputs = vmap(one, randomness="different")(weights, embeddings_EBR)
        return outputs

    def copy(self) -> Stack:
        """With weights of its own."""
        return Stack([copy.deepcopy(member) for member in self.members])
