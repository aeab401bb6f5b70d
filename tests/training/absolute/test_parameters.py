"""The report's parameter counts, and which of its rows are misprints."""

from __future__ import annotations

import pytest

from irploc.errors import BadInput
from irploc.estimators.parameters import parameters_of_methods

# Tables II and IV: (backbone, total, trainable); None where the printed number is a misprint, see below
POSENET = [
    ("googlenet", None, None),
    ("resnet18", 11_180_103, 3_591),
    ("resnet34", 21_288_263, 3_591),
    ("resnet50", 23_522_375, 14_343),
    ("resnet152", 58_158_151, 14_343),
    ("efficientnet-b7", 63_804_887, 17_927),
]
MAPNET = [
    ("googlenet", None, None),
    ("resnet18", 14_853_703, 3_677_191),
    ("resnet34", 24_961_863, 3_677_191),
    ("resnet50", 30_330_951, 6_822_919),
    ("resnet152", 64_966_727, None),
    ("efficientnet-b7", 71_658_455, 7_871_495),
]


@pytest.mark.parametrize(("method", "rows"), [("posenet", POSENET), ("mapnet", MAPNET)])
def test_the_counts_are_those_of_the_tables_where_these_are_right(
    method: str, rows: list[tuple[str, int | None, int | None]]
) -> None:
    for backbone, total, trainable in rows:
        counts = parameters_of_methods(backbone)[method]
        assert total in (counts.total, None), backbone
        assert trainable in (counts.trainable, None), backbone


def test_googlenet_has_a_feature_of_1024_so_that_its_printed_trainable_counts_are_resnet18s() -> None:
    counts = parameters_of_methods("googlenet")
    assert counts["posenet"].trainable == 1024 * 7 + 7 != 3_591 == 512 * 7 + 7
    layers = ((1024, 2048), (2048, 1024), (1024, 512), (512, 7))
    assert counts["mapnet"].trainable == sum((before + 1) * after for before, after in layers) == 4_725_767 != 3_677_191


def test_googlenets_total_of_about_seven_million_includes_the_classifier() -> None:
    without = parameters_of_methods("googlenet")["posenet"].total - 7_175
    assert without == 5_599_904
    assert without + 1024 * 1000 + 1000 == 6_624_904  # torchvision's GoogLeNet without its two side classifiers


def test_resnet152_has_a_feature_of_2048_so_that_its_printed_trainable_count_is_resnet18s() -> None:
    counts = parameters_of_methods("resnet152")["mapnet"]
    assert counts.trainable == parameters_of_methods("resnet50")["mapnet"].trainable == 6_822_919 != 3_677_191
    assert counts.total - counts.trainable == 58_158_151 - 14_343  # the printed total is that of the right head


def test_three_layers_as_in_the_text_would_not_give_the_printed_counts() -> None:
    three = (512 + 1) * 1024 + (1024 + 1) * 512 + (512 + 1) * 7
    assert three != 3_677_191 == parameters_of_methods("resnet18")["mapnet"].trainable


def test_an_unknown_backbone_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(BadInput, match="unknown backbone 'resnet19', choose one of resnet18, resnet34"):
        parameters_of_methods("resnet19")
