"""The paper's own comparisons, recomputed from its own medians."""

from __future__ import annotations

import pytest

from irploc.evaluation.published import NOT_RANKED, PUBLISHED, rank, share_of_medium_accuracy


@pytest.mark.parametrize(
    ("dataset", "differ"),
    [
        ("cambridge", {"MapNet": 5, "LSTM-PN": 6, "SVS-Pose": 4}),
        ("7scenes", {"GPoseNet": 5, "LSTM-PN": 6, "BayesianPN": 7}),
    ],
)
def test_final_ranks_are_the_printed_ones_but_for_known_misprints(dataset: str, differ: dict[str, int]) -> None:
    published = PUBLISHED[dataset]
    found = rank({name: row for name, row in published.medians.items() if name not in NOT_RANKED})
    assert {name: ranks.final for name, ranks in found.items()} == {**published.printed_ranks, **differ}


def test_shares_of_medium_accuracy_are_those_of_table_six() -> None:
    medians = PUBLISHED["cambridge"].medians
    printed = {
        "PoseNet (Learnable)": 0.875,
        "GeoPoseNet": 0.875,
        "IRPNet": 1.0,
        "MapNet": 0.875,
        "SVS-Pose": 0.625,
        "LSTM-PN": 0.75,
        "GPoseNet": 0.5,
        "BayesianPN": 0.375,
        "PoseNet": 0.25,
        "IR Baseline": 0.75,
    }
    assert {name: share_of_medium_accuracy(medians[name]) for name in printed} == printed


def test_ties_take_the_lower_rank() -> None:
    found = rank({"a": [(1.0, 1.0)], "b": [(1.0, 1.0)], "c": [(2.0, 2.0)]})
    assert [found[name].final for name in "abc"] == [1, 1, 3]
    assert found["c"].by_scene == ((3, 3),)
    assert (found["a"].mean_position, found["c"].mean_orientation) == (1.0, 3.0)


def test_published_tables_are_complete() -> None:
    for published in PUBLISHED.values():
        assert all(len(row) == len(published.scenes) for row in published.medians.values())
