"""DenseVLAD: descriptors of simple images, aggregation by hand, and what fitting promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from irploc.encoders.base import EncoderOptions, create_encoder
from irploc.encoders.dense_sift import DenseSiftOptions, dense_root_sift
from irploc.encoders.densevlad import DenseVlad, DenseVladOptions, fit_vocabulary, fit_whitening, normalized_vlad, vlad
from irploc.errors import BadInput, Mismatch

ONE_SCALE = DenseSiftOptions(scales=(1.0,))
SMALL = DenseVladOptions(centres=16, few_centres=8, few_images=20, smallest=4, sampled_descriptors=2000)


def texture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """A (3, height, width) image of smooth random blobs, the same for the same seed."""
    coarse = torch.rand(1, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (fine[0] * 255).to(torch.uint8).numpy()


def walk(count: int, step: int = 6) -> list[np.ndarray]:
    """Crops of one wide texture, each ``step`` pixels further than the one before."""
    wide = texture(0, 96, 128 + step * count)
    return [np.ascontiguousarray(wide[:, :, i * step : i * step + 128]) for i in range(count)]


def fitted(images: list[np.ndarray], seed: int = 0, settings: DenseVladOptions = SMALL) -> DenseVlad:
    made = DenseVlad("densevlad", EncoderOptions(device="cpu"), settings)
    made.fit(lambda: iter(images), len(images), seed)
    return made


def batch(*images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.stack(images))


def ramp(towards: str) -> torch.Tensor:
    """A 32x32 image whose brightness grows evenly towards one side."""
    line = torch.arange(0, 256, 8, dtype=torch.uint8)
    plane = {"right": line[None, :], "left": line.flip(0)[None, :], "down": line[:, None]}[towards].expand(32, 32)
    return plane[None].expand(3, -1, -1)


# -- descriptors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("towards", "direction"), [("right", 0), ("down", 2), ("left", 4)])
def test_an_even_ramp_fills_one_direction_of_every_cell_equally(towards, direction):
    inner = dense_root_sift(ramp(towards), ONE_SCALE)[12]  # the middle of the 5x5 grid
    cells_A44 = inner.reshape(8, 4, 4)
    expected = torch.zeros(8, 4, 4)
    expected[direction] = 0.25  # sixteen equal bins: the square root of 1/16
    torch.testing.assert_close(cells_A44, expected, atol=1e-3, rtol=0)


def test_a_gradient_between_two_directions_is_shared_by_both():
    grid = torch.arange(32)
    diagonal = (8 * grid[None] + 8 * torch.tan(torch.tensor(np.pi / 8)) * grid[:, None]).clamp(max=255) * 0.7
    cells_A44 = dense_root_sift(diagonal.to(torch.uint8)[None].expand(3, -1, -1), ONE_SCALE)[6].reshape(8, 4, 4)
    torch.testing.assert_close(cells_A44[0], cells_A44[1], atol=0.03, rtol=0)
    assert cells_A44[2:].max() < 0.1


def test_descriptors_have_unit_length_and_one_stands_at_every_cell_of_every_scale():
    found = dense_root_sift(torch.from_numpy(texture(1)), replace(ONE_SCALE, scales=(1.0, 0.5), contrast=0.0))
    assert found.shape == ((24 - 3) * (32 - 3) + (12 - 3) * (16 - 3), 128)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(found)))


def test_brightness_and_contrast_do_not_change_descriptors():
    image = torch.from_numpy(texture(2)).float()
    plain = dense_root_sift(image.to(torch.uint8) // 2 * 2, replace(ONE_SCALE, contrast=0.0))
    darker = dense_root_sift(image.to(torch.uint8) // 2 + 40, replace(ONE_SCALE, contrast=0.0))
    torch.testing.assert_close(plain, darker, atol=1e-4, rtol=0)


def test_regions_without_texture_give_no_descriptors():
    image = texture(3)
    image[:, :, 64:] = 128
    whole = len(dense_root_sift(torch.from_numpy(texture(3)), ONE_SCALE))
    half = dense_root_sift(torch.from_numpy(image), ONE_SCALE)
    assert 0.4 * whole < len(half) < 0.7 * whole
    assert dense_root_sift(torch.full((3, 40, 40), 9, dtype=torch.uint8), ONE_SCALE).shape == (0, 128)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (16, 16), (400, 17), (33, 35)])
def test_images_of_any_size_give_finite_descriptors(size):
    found = dense_root_sift(torch.randint(0, 256, (3, *size), dtype=torch.uint8), DenseSiftOptions())
    assert (len(found) > 0) == (min(size) >= 16)
    assert torch.isfinite(found).all()


def test_large_images_are_reduced_first():
    image = torch.from_numpy(texture(4, 120, 160))
    assert len(dense_root_sift(image, replace(ONE_SCALE, max_side=80, contrast=0.0))) == (15 - 3) * (20 - 3)


# -- aggregation ---------------------------------------------------------------------------------------------------------


def test_vlad_sums_the_differences_from_the_nearest_centre():
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 50.0]])
    descriptors = torch.tensor([[1.0, 2.0], [3.0, -1.0], [9.0, 1.0]])
    assert vlad(descriptors, centres).tolist() == [[4.0, 1.0], [-1.0, 1.0], [0.0, 0.0]]


def test_normalisation_takes_each_centre_to_unit_length_and_then_signed_roots():
    # rows of unit length (0.6, -0.8) and (1, 0); the roots have the squared sum 0.6 + 0.8 + 1 = 2.4
    found = normalized_vlad(torch.tensor([[3.0, -4.0], [7.0, 0.0], [0.0, 0.0]]))
    expected = np.array([np.sqrt(0.6), -np.sqrt(0.8), 1, 0, 0, 0]) / np.sqrt(2.4)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_vocabulary_finds_the_means_of_separate_groups():
    groups = np.zeros((3, 128), np.float32)
    groups[[0, 1, 2], [0, 1, 2]] = 1.0
    noise = np.random.default_rng(0).normal(scale=0.01, size=(300, 128)).astype(np.float32)
    centres = fit_vocabulary(np.repeat(groups, 100, axis=0) + noise, 3, seed=0)
    order = centres[:, :3].argmax(1).argsort()
    np.testing.assert_allclose(centres[order], groups, atol=0.01)


def test_whitening_divides_each_principal_direction_by_the_root_of_its_shrunk_variance():
    # variances 9 and 1 along two axes about (5, 5, 5), their mean (over count - 1 = 3 directions) is 10 / 3
    rows = np.array([[3, 1, 0], [3, -1, 0], [-3, 1, 0], [-3, -1, 0]], np.float32) + 5
    mean, projection = fit_whitening(rows, replace(SMALL, smallest=2, shrinkage=0.3))
    np.testing.assert_allclose(mean, [5, 5, 5])
    expected = np.diag([1 / np.sqrt(9 + 1), 1 / np.sqrt(1 + 1), 0])[:, :2]
    np.testing.assert_allclose(projection.abs(), expected, atol=1e-6)


# -- the encoder ---------------------------------------------------------------------------------------------------------


def test_it_is_registered_and_needs_fitting():
    made = create_encoder("densevlad")
    assert made.needs_fitting
    assert made.dimension == 0
    with pytest.raises(ValueError, match="not fitted"):
        made.encode(batch(texture(0)))


def test_vectors_have_unit_length_and_half_as_many_dimensions_as_there_are_photos():
    made = fitted(walk(24))
    vectors = made.encode(batch(*walk(24)[:5]))
    assert made.dimension == 12
    assert vectors.shape == (5, 12)
    assert vectors.dtype == torch.float32
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(5))


def test_shifted_views_of_one_wall_are_more_alike_than_different_walls():
    places = walk(20) + [texture(seed) for seed in range(1, 11)]
    made = fitted(places)
    first, shifted, other = made.encode(batch(places[0], places[1], places[25]))
    assert first @ shifted > first @ other + 0.3


def test_the_nearest_photo_of_a_shifted_view_is_the_one_beside_it():
    wide = texture(0, 96, 128 + 6 * 24)
    made = fitted(walk(24))
    query = np.ascontiguousarray(wide[:, :, 62 : 62 + 128])  # between the tenth (60) and the eleventh (66)
    similarity = made.encode(batch(*walk(24))) @ made.encode(batch(query))[0]
    assert similarity.argmax() in (10, 11)


def test_the_same_seed_gives_the_same_encoder_and_another_seed_another():
    images = walk(24)
    first, again, other = fitted(images, seed=3), fitted(images, seed=3), fitted(images, seed=4)
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert torch.equal(first.encode(batch(*images[:3])), again.encode(batch(*images[:3])))


@pytest.mark.parametrize("count", [3, 24])
def test_the_state_carries_the_encoder(count):
    made = fitted(walk(count))
    copy = DenseVlad("densevlad", EncoderOptions(device="cpu"), SMALL)
    copy.load_state(made.state())
    assert all(values.dtype == np.float32 for values in made.state().values())
    assert (copy.dimension, copy.weights_sha256) == (made.dimension, made.weights_sha256)
    assert torch.equal(copy.encode(batch(texture(7))), made.encode(batch(texture(7))))


def test_the_hash_covers_the_settings_and_the_arrays():
    made = fitted(walk(3))
    other = DenseVlad("densevlad", EncoderOptions(device="cpu"), replace(SMALL, sift=replace(SMALL.sift, contrast=0.02)))
    other.load_state(made.state())
    assert other.weights_sha256 != made.weights_sha256
    other.load_state({"centres": made.state()["centres"] + 0.1})
    changed = DenseVlad("densevlad", EncoderOptions(device="cpu"), SMALL)
    changed.load_state({"centres": made.state()["centres"] + 0.1})
    assert changed.weights_sha256 not in (made.weights_sha256, other.weights_sha256)


def test_a_row_does_not_depend_on_the_other_images():
    made = fitted(walk(24))
    images = batch(texture(11), texture(12), texture(13))
    alone = torch.cat([made.encode(image[None]) for image in images])
    torch.testing.assert_close(made.encode(images), alone, atol=1e-6, rtol=0)
    assert made.encode(images[:0]).shape == (0, made.dimension)


def test_encoding_leaves_the_number_of_threads_as_it_was():
    before = torch.get_num_threads()
    fitted(walk(2)).encode(batch(texture(1)))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("count", [1, 2, 10, 20])
def test_a_place_of_few_photos_works(count):
    made = fitted(walk(count))
    vectors = made.encode(batch(*walk(count)))
    assert made.dimension == (8 * 128 if count < 20 else 10)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count))
    assert (vectors @ vectors.T).argmax(1).tolist() == list(range(count))


@pytest.mark.parametrize("count", [2, 24])
def test_photos_without_texture_give_one_fixed_unit_vector(count):
    blank = np.full((3, 64, 64), 77, np.uint8)
    made = fitted([blank] * count)
    vectors = made.encode(batch(blank, blank + 50))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert torch.equal(vectors[0], vectors[1])
    made = fitted(walk(count))
    assert made.encode(batch(blank)).norm().item() == pytest.approx(1.0)


def test_equal_photos_are_no_trouble():
    made = fitted([texture(5)] * 24)
    vectors = made.encode(batch(texture(5), texture(6)))
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    assert vectors[0] @ vectors[1] < 0.9


def test_photos_that_cannot_be_read_may_be_left_out():
    made = DenseVlad("densevlad", EncoderOptions(device="cpu"), SMALL)
    made.fit(lambda: iter(walk(2)), 24, seed=0)
    assert made.encode(batch(texture(1))).shape == (1, 8 * 128)


def test_photos_of_different_sizes_are_fitted_together():
    made = fitted([texture(i, 48 + 8 * (i % 3), 64) for i in range(24)])
    assert made.encode(batch(texture(1, 80, 40))).shape == (1, made.dimension)


def test_a_foreign_state_and_foreign_options_are_refused():
    made = DenseVlad("densevlad", EncoderOptions(device="cpu"))
    for state in (
        {},
        {"centres": np.zeros((4, 64))},
        {"centres": np.zeros((4, 128)), "mean": np.zeros(4)},
        {"other": np.zeros(3)},
    ):
        with pytest.raises(Mismatch):
            made.load_state(state)
    with pytest.raises(BadInput):
        create_encoder("densevlad:5")
    with pytest.raises(BadInput):
        create_encoder("densevlad", EncoderOptions(precision="bf16", device="cpu"))
    with pytest.raises(BadInput):
        fitted([])


def test_real_frames_find_their_neighbours(kitchen):
    from irploc.images import decode_image, to_array

    def frame(number: int) -> np.ndarray:
        return to_array(decode_image(kitchen / f"seq-01/frame-{number:06d}.color.jpg", 160))

    places = range(0, 1000, 40)
    made = fitted([frame(number) for number in places])
    mapped = made.encode(batch(*[frame(number) for number in places]))
    queries = made.encode(batch(*[frame(number + 8) for number in places[1:-1]]))
    found = (queries @ mapped.T).argmax(1)
    assert (found == torch.arange(1, len(places) - 1)).float().mean() > 0.6
