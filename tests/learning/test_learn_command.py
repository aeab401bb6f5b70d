"""`irploc learn` as a user meets it, with a localizer that knows the truth."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from learning import fake_locator as fake
from mapping.toy_videos import striped, write_video
from PIL import Image
from tiny_place import TinyEncoder

from irploc.cli import main
from irploc.geometry.poses import Poses
from irploc.retrieval.embed import embed_scene
from irploc.retrieval.plan import EmbedOptions
from irploc.retrieval.store import EmbeddingStore
from irploc.scene import Frames, Rejected, Scene
from irploc.training.modelfile import load_model

pytestmark = pytest.mark.usefixtures("tiny_encoder")
WALK = [f"frame-{number:03d}.png" for number in range(12, 24)]
SMALL = ["--width", "32", "--batch-size", "8", "--epochs", "2"]


def write_photos(home: Path) -> Frames:
    """26 photos of a straight walk: twelve map, two test, and the rest (``WALK``) nobody has localized."""
    folder = home / "images/a"
    folder.mkdir(parents=True)
    generator, names = np.random.default_rng(0), [f"frame-{number:03d}.png" for number in range(26)]
    for name in names:
        coarse = generator.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((32, 24), Image.Resampling.BICUBIC).save(folder / name)
    centers = np.outer(np.arange(26), [0.02, 0.0, 0.0])
    return Frames(
        images=tuple(folder / name for name in names),
        names=tuple(f"a/{name}" for name in names),
        sequences=np.full(26, "walk", dtype=object),
        indices=np.arange(26),
        splits=np.array(["train"] * 24 + ["test"] * 2, dtype=object),
        cameras=("",) * 26,
        poses=Poses(centers, np.tile([1.0, 0, 0, 0], (26, 1))),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: None) -> tuple[Path, Frames]:
    """A workspace whose scene knows half of the walk; it is embedded and indexed, and has a small irpnet."""
    home = tmp_path_factory.mktemp("made")
    truth = write_photos(home)
    rejected = (Rejected("a/frame-012.png", 12, "no pose"), Rejected("a/elsewhere.png", 99, "no pose"))
    known = truth[[*range(12), 24, 25]]
    scene = Scene("tiny", home / "images", known, {"map": fake.CAMERA}, "invented", rejected=rejected)
    scene.save(home / "scenes/tiny")
    options = EmbedOptions(augmentations=2)
    embed_scene(scene, home / "scenes/tiny", home / "embeddings/tiny.h5", TinyEncoder(), options)
    for command in (["index", "tiny"], ["train-mlp", "tiny", *SMALL, "--no-calibration"]):
        result = CliRunner().invoke(main, ["--workspace", str(home), *command])
        assert result.exit_code == 0, result.output
    return home, truth


@pytest.fixture
def home(made: tuple[Path, Frames], tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return shutil.copytree(made[0], tmp_path / "home")


@pytest.fixture
def truth(made: tuple[Path, Frames], home: Path) -> Frames:
    """The photos there with their true poses."""
    return replace(made[1], images=tuple(home / "images" / name for name in made[1].names))


Learn = Callable[..., Result]


@pytest.fixture
def learn(home: Path, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """One call of irploc learn; the photos of the walk are meant where none are named. Training is as small as the model."""
    from irploc.cli import train

    whole, small = train.train_mlp.callback, {"width": 32, "batch_size": 8, "epochs": 2, "calibration": False}
    assert whole is not None
    monkeypatch.setattr(train.train_mlp, "callback", lambda **options: whole(**{**options, **small}))

    def call(localizer: fake.FakeLocalizer, *arguments: str, photos: list[str] | None = None) -> Result:
        monkeypatch.setattr("irploc.cli.learn._opened", lambda *_: localizer)
        chosen = [str(home / "images/a" / name) for name in WALK] if photos is None else photos
        return CliRunner().invoke(main, ["--workspace", str(home), "learn", "tiny", *chosen, *arguments])

    return call


def scene_of(home: Path) -> Scene:
    return Scene.load(home / "scenes/tiny")


def verdicts_of(home: Path) -> dict[str, str]:
    table = pd.read_csv(home / "scenes/tiny/learned.csv", dtype=str, keep_default_na=False)
    return {Path(image).name: verdict for image, verdict in zip(table["image"], table["verdict"], strict=True)}


def test_a_walk_becomes_labelled_mapping_photos_in_scene_embeddings_index_and_model(
    home: Path, truth: Frames, learn: Learn
) -> None:
    before = load_model(home / "models/tiny.irpnet.pt").identity["mapping_fingerprint"]
    result = learn(fake.FakeLocalizer(truth))
    assert result.exit_code == 0, result.output
    assert "12 new photos of 1 walks: 12 kept" in result.stdout
    frames = scene_of(home).frames
    new = frames[frames.learned]
    assert [Path(name).name for name in new.names] == WALK
    assert set(new.splits) == {"train"}
    assert set(new.sequences) == {"learned-1"}
    assert new.indices.tolist() == list(range(12, 24))
    assert np.allclose(new.poses.centers_m, truth.poses.centers_m[12:24])
    assert not frames.learned[:14].any()
    with EmbeddingStore.open(home / "embeddings/tiny.h5") as store:
        assert int(store.frames.learned.sum()) == 12
        fingerprint = store.header.mapping_fingerprint
    assert "flat index of 24 mapping images" in result.stdout
    assert load_model(home / "models/tiny.irpnet.pt").identity["mapping_fingerprint"] == fingerprint != before


def test_a_photo_that_was_rejected_leaves_that_table_and_the_others_stay(home: Path, truth: Frames, learn: Learn) -> None:
    assert learn(fake.FakeLocalizer(truth)).exit_code == 0
    assert [item.image for item in scene_of(home).rejected] == ["a/elsewhere.png"]


def test_bad_answers_are_left_out_and_the_table_says_why(home: Path, truth: Frames, learn: Learn) -> None:
    errors = {
        "frame-012.png": fake.lost,
        "frame-013.png": fake.approximate,
        "frame-014.png": fake.doubtful,
        "frame-015.png": fake.vague,
        "frame-016.png": fake.broken,
        "frame-020.png": lambda answer: replace(answer, pose=Poses(answer.pose.centers_m + 1.0, [[1.0, 0, 0, 0]])),
    }
    result = learn(fake.FakeLocalizer(truth, errors), "--no-train")
    assert result.exit_code == 0, result.output
    assert "6 kept" in result.stdout
    told = verdicts_of(home)
    assert told["frame-012.png"] == "not localized"
    assert told["frame-013.png"] == "approximate"
    assert told["frame-014.png"] == "confidence too low"
    assert told["frame-015.png"] == "expected error too large"
    assert told["frame-016.png"].startswith("cannot be read")
    assert told["frame-020.png"] == "jumps away from its neighbours in the walk"
    kept = [name for name, verdict in told.items() if verdict == "kept"]
    assert [Path(name).name for name in scene_of(home).frames[scene_of(home).frames.learned].names] == kept


def test_thresholds_can_be_chosen(home: Path, truth: Frames, learn: Learn) -> None:
    errors = {"frame-014.png": fake.doubtful, "frame-015.png": fake.vague}
    result = learn(fake.FakeLocalizer(truth, errors), "--no-train", "--min-confidence", "0.8", "--max-error", "0.4", "2")
    assert "12 new photos of 1 walks: 12 kept" in result.stdout, result.output


def test_a_dry_run_says_what_would_be_kept_and_changes_nothing(home: Path, truth: Frames, learn: Learn) -> None:
    files = ["scenes/tiny/frames.csv", "embeddings/tiny.h5", "indexes/tiny.toml", "models/tiny.irpnet.pt"]
    before = [(home / file).read_bytes() for file in files]
    result = learn(fake.FakeLocalizer(truth), "--dry-run")
    assert "12 new photos of 1 walks: 12 kept" in result.stdout, result.output
    assert [(home / file).read_bytes() for file in files] == before
    assert not (home / "scenes/tiny/learned.csv").exists()


def test_the_same_command_again_asks_nobody_and_changes_nothing(home: Path, truth: Frames, learn: Learn) -> None:
    assert learn(fake.FakeLocalizer(truth, {"frame-012.png": fake.lost})).exit_code == 0
    files = ["scenes/tiny/frames.csv", "scenes/tiny/learned.csv", "models/tiny.irpnet.pt"]
    before = [(home / file).read_bytes() for file in files]
    again = fake.FakeLocalizer(truth)
    result = learn(again)
    assert result.exit_code == 0, result.output
    assert again.asked == []
    assert "no new photos" in result.stdout
    assert "11 photos map the scene already" in result.stderr
    assert "1 photos were left out before" in result.stderr
    assert [(home / file).read_bytes() for file in files] == before


def test_photos_that_were_left_out_can_be_asked_about_again(home: Path, truth: Frames, learn: Learn) -> None:
    assert learn(fake.FakeLocalizer(truth, {"frame-012.png": fake.lost}), "--no-train").exit_code == 0
    again = fake.FakeLocalizer(truth)
    result = learn(again, "--again", "--no-train")
    assert result.exit_code == 0, result.output
    assert again.asked == ["frame-012.png"]
    assert int(scene_of(home).frames.learned.sum()) == 12
    assert set(scene_of(home).frames.sequences[scene_of(home).frames.learned]) == {"learned-1"}
    assert list(verdicts_of(home).values()) == ["kept"] * 12


def test_an_interrupted_run_goes_on_where_it_was(home: Path, truth: Frames, learn: Learn) -> None:
    stopped = fake.FakeLocalizer(truth, stop_after=5)
    result = learn(stopped, "--no-train")
    assert result.exit_code != 0
    assert "run the same command again to go on" in result.stderr
    assert not scene_of(home).frames.learned.any()
    rest = fake.FakeLocalizer(truth)
    assert learn(rest, "--no-train").exit_code == 0
    assert rest.asked == WALK[5:]
    assert int(scene_of(home).frames.learned.sum()) == 12
    assert not (home / "scenes/tiny/.learning.jsonl").exists()


@pytest.mark.parametrize("step", ["embed", "index", "train"])
def test_a_run_killed_after_the_scene_was_saved_is_finished_by_the_next(
    home: Path, truth: Frames, learn: Learn, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    from irploc.cli import embed, train

    target = {
        "embed": ("irploc.cli.learn._embed", None),
        "index": (embed.index, "callback"),
        "train": (train.train_mlp, "callback"),
    }

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        place, attribute = target[step]
        if attribute is None:
            patched.setattr(place, stop)
        else:
            patched.setattr(place, attribute, stop)
        assert learn(fake.FakeLocalizer(truth)).exit_code != 0
    assert int(scene_of(home).frames.learned.sum()) == 12
    again = fake.FakeLocalizer(truth)
    result = learn(again)
    assert result.exit_code == 0, result.output
    assert again.asked == []
    with EmbeddingStore.open(home / "embeddings/tiny.h5") as store:
        fingerprint = store.header.mapping_fingerprint
    assert fingerprint == scene_of(home).mapping_fingerprint
    assert load_model(home / "models/tiny.irpnet.pt").identity["mapping_fingerprint"] == fingerprint


def test_without_training_it_says_which_models_are_out_of_date(home: Path, truth: Frames, learn: Learn) -> None:
    result = learn(fake.FakeLocalizer(truth), "--no-train")
    assert "irpnet must be trained again before they answer: 'irploc train-mlp" in result.stderr


def test_test_photos_are_refused_before_anything_is_asked(home: Path, truth: Frames, learn: Learn) -> None:
    localizer = fake.FakeLocalizer(truth)
    result = learn(localizer, photos=[str(home / "images/a")])
    assert result.exit_code == 1
    assert "2 of 26 photos are test or validation photos of tiny, whose true poses judge the methods" in result.stderr
    assert localizer.asked == []


def test_the_camera_that_was_assumed_becomes_the_photos_camera(home: Path, truth: Frames, learn: Learn) -> None:
    from irploc.estimators.base import UsedCamera

    other = replace(fake.CAMERA, params=(40.0, 16.0, 12.0))
    cameras = {WALK[0]: fake.CAMERA, WALK[1]: other, WALK[2]: other}
    errors = {
        name: (lambda answer, camera=camera: replace(answer, camera=UsedCamera("scene", camera)))
        for name, camera in cameras.items()
    }
    assert learn(fake.FakeLocalizer(truth, errors), "--no-train").exit_code == 0
    scene = scene_of(home)
    assert scene.frames[scene.frames.learned].cameras[:4] == ("map", "learned-camera1", "learned-camera1", "")
    assert scene.cameras["learned-camera1"] == other


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: folder.mkdir(), "has no photos"),
        (lambda folder: folder.write_text("words\n" * 50), "is not a video"),
        (lambda folder: folder.write_bytes(b"\x00" * 2000), "is not a video that ffmpeg can read"),
        (lambda folder: None, "no photo, folder or video"),
    ],
)
def test_sources_that_cannot_be_are_told_in_a_line(
    home: Path, truth: Frames, learn: Learn, make: Callable[[Path], object], words: str
) -> None:
    make(home / "source.x")
    result = learn(fake.FakeLocalizer(truth), photos=[str(home / "source.x")])
    assert result.exit_code == 1
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_frames_of_a_video_become_photos_in_the_scenes_folder(home: Path, truth: Frames, learn: Learn) -> None:
    video = write_video(home / "walk two.mp4", [striped(number) for number in range(30)], fps=10.0)

    class Everywhere(fake.FakeLocalizer):
        def localize_many(self, photos):  # type: ignore[no-untyped-def]
            self.truth = replace(truth[list(range(len(photos)))], images=tuple(photos))
            return super().localize_many(photos)

    result = learn(Everywhere(truth), "--no-train", "--fps", "5", photos=[str(video)])
    assert result.exit_code == 0, result.output
    new = scene_of(home).frames[scene_of(home).frames.learned]
    assert 8 <= len(new) <= 15
    assert all(image.parent == home / "scenes/tiny/learned/walk_two/images" for image in new.images)
    assert all(image.is_file() for image in new.images)
    assert [int(image.stem[-6:]) for image in new.images] == new.indices.tolist()
    again = fake.FakeLocalizer(truth)
    assert learn(again, "--no-train", "--fps", "5", photos=[str(video)]).exit_code == 0
    assert again.asked == []


def test_a_scene_without_a_map_says_which_command_makes_it(home: Path) -> None:
    photo = str(home / "images/a" / WALK[0])
    result = CliRunner().invoke(main, ["--workspace", str(home), "learn", "tiny", photo])
    assert result.exit_code == 1
    assert "irploc triangulate tiny" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_an_unreadable_memory_is_told(home: Path, truth: Frames, learn: Learn) -> None:
    (home / "scenes/tiny/learned.csv").write_text("a,b\n1,2\n")
    result = learn(fake.FakeLocalizer(truth))
    assert result.exit_code == 1
    assert "learned.csv is not a table of image,sequence" in result.stderr


def test_a_walk_through_another_place_teaches_nothing(home: Path, truth: Frames, learn: Learn) -> None:
    frames = (home / "scenes/tiny/frames.csv").read_bytes()
    result = learn(fake.FakeLocalizer(truth, dict.fromkeys(WALK, fake.approximate)))
    assert result.exit_code == 0, result.output
    assert "12 new photos of 1 walks: 12 approximate" in result.stdout
    assert (home / "scenes/tiny/frames.csv").read_bytes() == frames
    assert set(verdicts_of(home).values()) == {"approximate"}


def test_the_map_is_extended_when_asked_also_by_a_run_without_new_photos(
    home: Path, truth: Frames, learn: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from irploc.cli.triangulate import triangulate

    extended: list[str] = []
    monkeypatch.setattr(triangulate, "callback", lambda **options: extended.append(Path(options["scene_name"]).name))
    assert learn(fake.FakeLocalizer(truth), "--no-train").exit_code == 0
    assert extended == []
    assert learn(fake.FakeLocalizer(truth), "--no-train", "--extend-map").exit_code == 0
    assert extended == ["tiny"]
