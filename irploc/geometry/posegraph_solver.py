"""A pose graph solved: robust sparse non-linear least squares, well conditioned however long the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, sparse
from scipy.sparse.linalg import LinearOperator

from irploc.geometry.posegraph_terms import (
    Absolute,
    Linearized,
    Odometry,
    State,
    Steadiness,
    absolute_terms,
    odometry_terms,
    steadiness_terms,
)
from irploc.geometry.poses import Poses

_BAND = 18  # a term touches three frames at most, of six numbers each
_DAMPING = 1e-12  # of the largest curvature: of velocities that nothing ties


@dataclass(frozen=True)
class Terms:
    """All that is known of the poses of a window of N frames.

    Attributes:
        absolute: what the frames say by themselves.
        odometry: how the camera moved; None where nobody knows.
        steadiness: how steadily it moves, between frames without odometry; None where that says nothing.
        together: so many frames in a row make one mistake: their answers count as one of its standard deviation.
        outlier: an answer so many times its standard deviations off counts half; a motion of the odometry so many times
            three.
        log_scale: of the odometry, where its scale is unknown, as it is known beforehand.
        log_scale_deviation: standard deviation of that.
    """

    absolute: Absolute
    odometry: Odometry | None
    steadiness: Steadiness | None
    together: float
    outlier: float
    log_scale: float = 0.0
    log_scale_deviation: float = 0.1


class Solution(NamedTuple):
    """N poses that fit best.

    Attributes:
        poses: none missing.
        position_m, rotation_deg: (N,) standard deviations, root mean square of coordinates and axes, that all terms leave.
        log_scale: of the odometry.
        steps: of the solver.
    """

    poses: Poses
    position_m: np.ndarray
    rotation_deg: np.ndarray
    log_scale: float
    steps: int


class _Problem:
    """The terms as functions of the numbers around a start.

    The solver is given other numbers than those of ``State``: a triangular matrix makes the curvature at the start the
    identity, since along a chain of stiff terms lsmr needs as many iterations as there are numbers.
    """

    def __init__(self, terms: Terms, start: Poses) -> None:
        self._terms = terms
        count = len(start)
        self._start = start
        predicted = np.flatnonzero(terms.absolute.poses.valid)
        known = np.zeros(max(count - 1, 0), dtype=bool) if terms.odometry is None else terms.odometry.motions.valid
        moved = np.flatnonzero(known)
        inner = np.flatnonzero(~(known[:-1] & known[1:])) + 1 if terms.steadiness is not None else np.zeros(0, np.int64)
        self._rows = (predicted, moved, inner)
        self._loss_of = self._groups(len(predicted), len(moved), len(inner))
        self.x = np.zeros(6 * count + 1)
        self.x[:-1].reshape(-1, 6)[:, :3] = start.centers_m
        self.x[-1] = terms.log_scale

    def _groups(self, predicted: int, moved: int, inner: int) -> Callable[[np.ndarray], np.ndarray]:
        """Cauchy's loss of the squared length of whole residuals (position, or rotation) of answers and motions."""
        outlier, together = self._terms.outlier, self._terms.together
        limit_a, limit_o = 3.0 * outlier**2 / together, 3.0 * (3.0 * outlier) ** 2
        limits = np.concatenate([np.full(2 * predicted, limit_a), np.full(2 * moved, limit_o), np.full(2 * inner, limit_o)])

        def loss(z: np.ndarray) -> np.ndarray:
            squares = z[:-1].reshape(-1, 3).sum(axis=1)
            value = np.repeat(limits * np.log1p(squares / limits) / 3.0, 3)
            slope = np.repeat(1.0 / (1.0 + squares / limits), 3)
            return np.stack([np.append(value, z[-1]), np.append(slope, 1.0), np.zeros_like(z)])

        return loss

    def _linearized(self, x: np.ndarray) -> list[Linearized]:
        terms, state = self._terms, State.of(x, self._start.world_from_cam_wxyz)
        predicted, moved, inner = self._rows
        parts = absolute_terms(state, terms.absolute, predicted)
        root = np.sqrt(terms.together)
        parts = [
            Linearized(part.residuals / root, [block._replace(values=block.values / root) for block in part.blocks])
            for part in parts
        ]
        if terms.odometry is not None:
            parts += odometry_terms(state, terms.odometry, moved)
        if terms.steadiness is not None:
            parts += steadiness_terms(state, terms.steadiness, inner)
        return parts

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """(R,) of all terms; the last one is of the scale."""
        parts = [part.residuals.ravel() for part in self._linearized(x)]
        scale = (x[-1] - self._terms.log_scale) / self._terms.log_scale_deviation
        return np.append(np.concatenate(parts), scale)

    def jacobian(self, x: np.ndarray) -> sparse.csr_matrix:
        """(R, 6 N + 1) derivatives."""
        data, rows, columns, first = [], [], [], 0
        for part in self._linearized(x):
            at = first + 3 * np.arange(len(part.residuals))[:, None, None] + np.arange(3)[:, None]
            for block in part.blocks:
                data.append(block.values.ravel())
                rows.append(np.broadcast_to(at, block.values.shape).ravel())
                across = block.columns[:, None, None] + np.arange(block.values.shape[2])
                columns.append(np.broadcast_to(across, block.values.shape).ravel())
            first += 3 * len(part.residuals)
        data.append(np.array([1.0 / self._terms.log_scale_deviation]))
        rows.append(np.array([first]))
        columns.append(np.array([len(x) - 1]))
        indices = (np.concatenate(rows), np.concatenate(columns))
        return sparse.csr_matrix((np.concatenate(data), indices), shape=(first + 1, len(x)))

    def loss(self, z: np.ndarray) -> np.ndarray:
        """(3, R) loss of squared residuals with its slopes, as scipy wants it."""
        return self._loss_of(z)


class _Conditioner:
    """x = U^-1 y with U^T U the curvature of all numbers at a state; banded, with a border for the scale."""

    def __init__(self, jacobian: sparse.csr_matrix, weights: np.ndarray) -> None:
        weighted = jacobian.multiply(np.sqrt(weights)[:, None]).tocsr()
        curvature = (weighted.T @ weighted).tocoo()
        size = jacobian.shape[1] - 1
        band = np.zeros((_BAND, size))
        inside = (curvature.row <= curvature.col) & (curvature.col < size)
        row, column = curvature.row[inside], curvature.col[inside]
        band[_BAND - 1 + row - column, column] = curvature.data[inside]
        band[-1] += _DAMPING * band[-1].max(initial=1.0)
        self._upper = linalg.cholesky_banded(band, check_finite=False)
        border = np.zeros(size)
        edge = (curvature.col == size) & (curvature.row < size)
        border[curvature.row[edge]] = curvature.data[edge]
        corner = float(curvature.data[(curvature.col == size) & (curvature.row == size)].sum())
        self._border = self._solve(border, "T")
        self._corner = float(np.sqrt(max(corner - self._border @ self._border, 1e-12 * corner)))

    def _solve(self, right: np.ndarray, transposed: str) -> np.ndarray:
        found, _ = linalg.lapack.dtbtrs(self._upper, right[:, None], uplo="U", trans=transposed)
        return np.asarray(found[:, 0])

    def deviations(self) -> tuple[np.ndarray, np.ndarray]:
        """(N,) standard deviations in metres and radians, root mean square, where the curvature is that at the solution; the
        scale is taken as known."""
        size = self._upper.shape[1]
        inverse, _ = linalg.lapack.dtbtrs(self._upper, np.eye(size), uplo="U")
        variances = (inverse**2).sum(axis=1).reshape(-1, 2, 3).mean(axis=2)
        return np.sqrt(variances[:, 0]), np.sqrt(variances[:, 1])

    def forward(self, y: np.ndarray) -> np.ndarray:
        """U^-1 y."""
        scale = y[-1] / self._corner
        return np.append(self._solve(y[:-1] - self._border * scale, "N"), scale)

    def backward(self, g: np.ndarray) -> np.ndarray:
        """U^-T g."""
        chain = self._solve(g[:-1], "T")
        return np.append(chain, (g[-1] - self._border @ chain) / self._corner)


def solve(terms: Terms, start: Poses, tolerance: float = 1e-5, most_steps: int = 50) -> Solution:
    """The poses of N frames that fit all terms best.

    Args:
        start: N poses, none missing, from which the best ones can be reached downhill.
        tolerance: relative, of cost and numbers.
        most_steps: of the solver.

    Source: ``scipy.optimize.least_squares``, trust region with lsmr; Cauchy's loss.
    """
    problem = _Problem(terms, start)
    x = problem.x
    first = problem.jacobian(x)
    conditioner = _Conditioner(first, problem.loss(problem.residuals(x) ** 2)[1])

    def jacobian(y: np.ndarray) -> LinearOperator:
        matrix = problem.jacobian(x + conditioner.forward(y))
        back = matrix.T.tocsr()
        return LinearOperator(
            matrix.shape,
            matvec=lambda v: matrix @ conditioner.forward(np.ravel(v)),
            rmatvec=lambda u: conditioner.backward(back @ np.ravel(u)),
        )

    found = optimize.least_squares(
        lambda y: problem.residuals(x + conditioner.forward(y)),
        np.zeros_like(x),
        jac=jacobian,
        loss=problem.loss,
        tr_solver="lsmr",
        ftol=tolerance,
        xtol=tolerance,
        gtol=tolerance,
        max_nfev=most_steps,
    )
    numbers = x + conditioner.forward(found.x)
    state = State.of(numbers, start.world_from_cam_wxyz)
    weights = problem.loss(problem.residuals(numbers) ** 2)[1]
    metres, radians = _Conditioner(problem.jacobian(numbers), weights).deviations()
    return Solution(Poses(state.centers_m, state.quats), metres, np.degrees(radians), state.log_scale, int(found.nfev))
