"""``Teacher``: closed-form answers for any embedding, which a network learns to give beside the true labels.

A few hundred mapping photos say little about views between and beyond them. Ridge regression on all photos and affine
interpolation of the nearest ones make different mistakes there; their mean is better than either, on held-out blocks and in
position and rotation. A network that is asked for it at points all over the space of embeddings learns both.
"""

from __future__ import annotations

import torch

from irploc.training.losses import Outputs

NEIGHBOURS = 10
BDI_RIDGE = 1e-3  # of the mean squared distance to the neighbours
GAUSS_SHARES = (0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5)  # exact for second moments of a uniform share


class Teacher:
    """Ridge regression and interpolation of neighbours over one training set.

    Args:
        embeddings_NVR: mapped embeddings, centred.
        targets: output -> (N, p), standardized.
        penalty: of the ridge regression, see ``ridge_map``.
        partial_jitter: as in the recipe.

    Attributes:
        linear: output -> (R, p), the ridge regression.
    """

    def __init__(self, embeddings_NVR: torch.Tensor, targets: Outputs, penalty: float, partial_jitter: bool) -> None:
        self._sizes = {name: values.shape[1] for name, values in targets.items()}
        self._targets = torch.cat(list(targets.values()), dim=1)
        self._plain = embeddings_NVR[:, 0].contiguous()
        self._map = ridge_map(embeddings_NVR, self._targets, penalty, partial_jitter)
        self.linear = self._by_output(self._map)

    @torch.no_grad()
    def answer(self, embeddings_BR: torch.Tensor) -> Outputs:
        """The mean of both closed forms, (B, p) for each output."""
        near = interpolate(embeddings_BR, self._plain, self._targets, NEIGHBOURS)
        return self._by_output(0.5 * (embeddings_BR @ self._map + near))

    def _by_output(self, columns: torch.Tensor) -> Outputs:
        return dict(zip(self._sizes, columns.split(list(self._sizes.values()), dim=1), strict=True))


def interpolate(queries_BR: torch.Tensor, known_NR: torch.Tensor, targets_NP: torch.Tensor, neighbours: int) -> torch.Tensor:
    """(B, P) targets of the nearest known points, weighted so that the points add up to the query as nearly as they can.

    The weights sum to one and may be negative. Source: facts of BDI, Sattler et al., CVPR 2019.
    """
    count = min(neighbours, len(known_NR))
    nearest = torch.cdist(queries_BR, known_NR).topk(count, largest=False).indices
    differences = known_NR[nearest] - queries_BR[:, None]
    gram = differences @ differences.transpose(1, 2)
    scale = gram.diagonal(dim1=1, dim2=2).mean(dim=1).clamp_min(1e-12)
    gram = gram + BDI_RIDGE * scale[:, None, None] * torch.eye(count, device=gram.device)
    weights = torch.linalg.solve(gram, gram.new_ones(len(gram), count, 1))
    weights = weights / weights.sum(dim=1, keepdim=True)
    return (weights * targets_NP[nearest]).sum(dim=1)


def ridge_map(embeddings_NVR: torch.Tensor, targets_NP: torch.Tensor, penalty: float, partial_jitter: bool) -> torch.Tensor:
    """(R, P) weights of ridge regression without intercept, for the draws that training will make.

    Args:
        embeddings_NVR: centred; all versions of an image count alike.
        targets_NP: centred.
        penalty: as a share of the total variance of the embeddings, per image: fewer images are fitted less closely.
        partial_jitter: draws lie anywhere between version 0 and another one; two points of Gauss stand for all of them.
    """
    images, versions, size = embeddings_NVR.shape
    gram = torch.zeros(size, size, dtype=torch.float64, device=embeddings_NVR.device)
    product = torch.zeros(size, targets_NP.shape[1], dtype=torch.float64, device=embeddings_NVR.device)
    for share in GAUSS_SHARES if partial_jitter else (1.0,):
        for version in range(versions):
            rows = torch.lerp(embeddings_NVR[:, 0].double(), embeddings_NVR[:, version].double(), share)
            gram.addmm_(rows.T, rows)
            product.addmm_(rows.T, targets_NP.double())
    gram.diagonal().add_(penalty * gram.diagonal().sum().clamp_min(1e-12) / images)
    return torch.linalg.solve(gram, product).float()
