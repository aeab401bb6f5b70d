"""The graph of heads: layers, quaternions, logarithms, and the mean of an ensemble."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from irploc.export.graph import OPSET, float_value
from irploc.export.head import Head, append_heads
from irploc.geometry.averaging import average_quaternions
from irploc.geometry.rotations import angle_between_deg, canonical, multiply
from irploc.onnxmodel import POSITION, QUATERNION, open_session

HALF = 0.5**0.5


def run(embeddings, *heads: Head) -> tuple[np.ndarray, np.ndarray]:
    """Positions and quaternions of (B, D) embeddings."""
    rows = np.asarray(embeddings, dtype=np.float32)
    graph = helper.make_graph([], "head", [float_value("embedding", ("batch", rows.shape[1]))], [])
    append_heads(graph, "embedding", heads)
    graph.output.extend([float_value(POSITION, ("batch", 3)), float_value(QUATERNION, ("batch", 4))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    session = open_session(model.SerializeToString(), "toy")
    return tuple(session.run([POSITION, QUATERNION], {"embedding": rows}))


def layer(weight, bias) -> tuple[np.ndarray, np.ndarray]:
    return np.array(weight, dtype=np.float32), np.array(bias, dtype=np.float32)


def constant_rotation(values, **options) -> Head:
    """A head that gives the embedding's first three numbers as the position, and always the same rotation."""
    position = layer(np.eye(3), np.zeros(3))
    return Head((), (position,), (layer(np.zeros((len(values), 3)), values),), **options)


def test_layers_are_products_and_sums_with_relus_between_them() -> None:
    shared = layer([[1, 0], [0, -1]], [0, 1])  # (x, 1 - y), then ReLU
    position = (layer([[2, 0], [0, 2], [-1, 0]], [0, 0, 1]), layer(np.eye(3), [10, 20, 30]))
    rotation = (layer([[0, 0]] * 4, [1, 0, 0, 0]),)
    positions, _ = run([[3, 0.5], [-1, 4]], Head((shared,), position, rotation))
    # shared: (3, 0.5) and (0, 0); first of the position: (6, 1, -2 -> 0) and (0, 0, 1)
    assert np.allclose(positions, [[16, 21, 30], [10, 20, 31]])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([2, 0, 0, 0], [1, 0, 0, 0]),
        ([-3, 0, 0, 3], [HALF, 0, 0, -HALF]),  # w >= 0: the other sign is the same rotation
        ([0, 0, 0, 0], [1, 0, 0, 0]),  # says nothing: the identity
        ([1e-12, 0, 0, 1e-12], [1, 0, 0, 0]),
    ],
)
def test_quaternions_come_out_with_unit_length_and_w_not_negative(given, wanted) -> None:
    positions, quats = run([[1, 2, 3]], constant_rotation(given))
    assert np.allclose(quats, [wanted], atol=1e-6)
    assert np.allclose(positions, [[1, 2, 3]])


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([np.pi / 4, 0, 0], [HALF, HALF, 0, 0]),  # half of a quarter turn about x
        ([0, 0, np.pi / 2], [0, 0, 0, 1]),  # half a turn about z
        ([0, 0, 0], [1, 0, 0, 0]),
        ([0, 1e-9, 0], [1, 0, 0, 0]),
    ],
)
def test_logarithms_are_axis_times_half_the_angle(given, wanted) -> None:
    _, quats = run([[0, 0, 0]], constant_rotation(given, rotation_as="log_quaternion"))
    assert angle_between_deg(quats, [wanted]).max() < 1e-4


def test_a_reference_is_multiplied_from_the_left() -> None:
    reference, turn = canonical([0.5, -0.1, 0.7, 0.2]), canonical([0.9, 0.3, -0.2, 0.1])
    _, quats = run([[0, 0, 0]], constant_rotation(turn, reference_wxyz=tuple(reference)))
    assert angle_between_deg(quats, [multiply(reference, turn)]).max() < 1e-4
    assert angle_between_deg(quats, [multiply(turn, reference)]).max() > 1  # so that the test can tell


def test_the_mean_of_no_turn_and_a_quarter_turn_is_an_eighth() -> None:
    heads = [constant_rotation([1, 0, 0, 0]), constant_rotation([-HALF, 0, 0, -HALF])]
    _, quats = run([[0, 0, 0]], *heads)
    assert np.allclose(quats, [[np.cos(np.pi / 8), 0, 0, np.sin(np.pi / 8)]], atol=1e-6)


@pytest.mark.parametrize("spread", [0.001, 0.1, 0.4, 1.0])
def test_the_mean_is_that_of_numpys_eigenvectors(spread: float) -> None:
    generator = np.random.default_rng(5)
    for count in (2, 3, 5):
        quats = canonical(canonical(generator.standard_normal(4)) + spread * generator.standard_normal((count, 4)))
        signs = generator.choice([-1.0, 1.0], (count, 1))
        _, found = run([[0, 0, 0]], *(constant_rotation(quat) for quat in quats * signs))
        wanted = average_quaternions(quats, np.ones(count))
        values = np.linalg.eigvalsh(quats.T @ quats)
        if values[-2] / values[-1] < 0.97:  # nearer to each other, and the mean means nothing
            assert angle_between_deg(found, [wanted]).max() < 1e-3


def test_each_row_of_a_batch_is_what_it_is_alone() -> None:
    generator = np.random.default_rng(1)
    rows = generator.standard_normal((5, 6)).astype(np.float32)
    heads = [
        Head(
            (layer(generator.standard_normal((8, 6)), generator.standard_normal(8)),),
            (layer(generator.standard_normal((3, 8)), [0, 0, 0]),),
            (layer(generator.standard_normal((4, 8)), [3, 0, 0, 0]),),
        )
        for _ in range(3)
    ]
    together = run(rows, *heads)
    alone = [run(rows[[row]], *heads) for row in range(5)]
    for number in (0, 1):
        assert np.allclose(together[number], np.concatenate([part[number] for part in alone]), atol=1e-5)
    assert len(run(rows[:0], *heads)[0]) == 0


def test_layers_that_do_not_follow_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="do not lead to 3 outputs"):
        Head((), (layer(np.zeros((5, 2)), np.zeros(5)),), (layer(np.zeros((4, 2)), np.zeros(4)),))
