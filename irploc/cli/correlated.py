"""Which correlated pairs a Siamese network is trained on: those of a file, or pairs that are selected now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from irploc.cli.common import note

if TYPE_CHECKING:
    from irploc.pairs import PairMatrix
    from irploc.retrieval.store import EmbeddingStore
    from irploc.scene import Scene
    from irploc.training.siamese.lesson import CorrelatedPairs
    from irploc.workspace import Workspace


@dataclass(frozen=True)
class Mapped:
    """The scene whose mapping photos are paired.

    Attributes:
        scene: labels, and photos where ``folder`` is not None.
        folder: of the scene; None where only its embeddings are there.
        store: its embeddings, open, if there are any.
    """

    scene: Scene
    folder: Path | None
    store: EmbeddingStore | None


@dataclass(frozen=True)
class Wanted:
    """The mapping photos that are trained on, in their order, with the name and fingerprint of their scene."""

    names: Sequence[str]
    scene: str
    mapping_fingerprint: str


def any_pairs(wanted: Wanted) -> CorrelatedPairs:
    """Of a training without CIPS: none is needed, any two photos are drawn."""
    import numpy as np

    from irploc.training.siamese.lesson import CorrelatedPairs

    _check_two(wanted)
    return CorrelatedPairs(np.zeros((0, 2), dtype=np.int64), 180.0, "pairs of any two photos")


def pairs_file(workspace: Workspace, scene: str, given: Path | None) -> Path | None:
    """The pairs file that is given, else the workspace's own where there is one."""
    usual = workspace.root / "pairs" / f"{scene}.npz"
    return given or (usual if usual.is_file() else None)


def correlated_pairs(wanted: Wanted, saved: Path | None, find: Callable[[], Mapped], quiet: bool) -> CorrelatedPairs:
    """The pairs among mapping photos.

    Args:
        saved: a pairs file; None selects pairs now.
        find: gives what they are selected from.

    Raises:
        NotFound, BadInput, Mismatch: for pairs that cannot be used; BadInput: fewer than two mapping photos, no pairs.
    """
    from irploc.errors import BadInput
    from irploc.training.siamese.lesson import CorrelatedPairs

    _check_two(wanted)
    matrix, origin = _selected(find(), quiet) if saved is None else _loaded(saved, wanted)
    angle = matrix.settings.get("largest_angle_deg")
    if not isinstance(angle, int | float):
        raise BadInput(f"{saved} does not say what angle its pairs may be turned by: make it again with 'irploc pairs'")
    rows = matrix.accepted_among(wanted.names)
    return CorrelatedPairs(rows, float(angle), f"{len(rows)} correlated pairs ({origin})")


def _check_two(wanted: Wanted) -> None:
    from irploc.errors import BadInput

    if len(wanted.names) < 2:
        raise BadInput(f"mapping photos in {wanted.scene}: {len(wanted.names)}; pairs need at least two")


def _loaded(path: Path, wanted: Wanted) -> tuple[PairMatrix, str]:
    from irploc.pairs import PairMatrix

    matrix = PairMatrix.load(path)
    matrix.check_scene(wanted.mapping_fingerprint, path)
    return matrix, f"pairs of {path.name}"


def _selected(mapped: Mapped, quiet: bool) -> tuple[PairMatrix, str]:
    """Pairs by everything that the scene has to tell; by window and angle where it is not found."""
    from irploc.errors import BadInput
    from irploc.pairs import PairOptions, select_pairs
    from irploc.pointcloud import check_frame, scene_points

    cloud, options, origin = None, PairOptions(), "selected now"
    if mapped.folder is None:
        note(
            f"the scene {mapped.scene.name} is not where its embeddings record it: its pairs are found by window and angle "
            "alone (give --scene-dir to test what photos show)"
        )
        options, origin = PairOptions(test="none"), "by window and angle"
    else:
        note("selecting correlated pairs; 'irploc pairs' keeps them for the next time")
        cloud = scene_points(mapped.folder)
    try:
        if cloud is not None:
            check_frame(cloud, mapped.scene)
        return select_pairs(mapped.scene, options, mapped.store, cloud, quiet), origin
    except BadInput as error:
        raise BadInput(f"{error} (an option of 'irploc pairs', whose file this command takes)") from None


@contextmanager
def found_scene(workspace: Workspace, scene_or_h5: str) -> Iterator[tuple[Mapped, str]]:
    """The scene, and the name under which its models are kept; embeddings that do not fit a scene named are left alone."""
    from irploc.errors import NotFound
    from irploc.retrieval.origin import scene_of
    from irploc.retrieval.store import EmbeddingStore

    path = Path(scene_or_h5)
    if path.suffix in (".h5", ".hdf5") or path.is_file():
        with EmbeddingStore.open(path) as store:
            found = scene_of(store)
            if found is None:
                where = store.header.scene_folder
                raise NotFound(f"the scene of {path} is not at {where} any more: give the scene's folder instead")
            yield Mapped(*found, store), workspace.place_of_embeddings(path, store.header.scene)
        return
    scene, folder = workspace.load_scene(scene_or_h5), workspace.scene_folder(scene_or_h5)
    embedded = workspace.embeddings(scene.name)
    if not embedded.is_file():
        yield Mapped(scene, folder, None), scene.name
        return
    with EmbeddingStore.open(embedded) as store:
        same = store.header.mapping_fingerprint == scene.mapping_fingerprint
        yield Mapped(scene, folder, store if same else None), scene.name


def pairs_for(mapped: Mapped, workspace: Workspace, given: Path | None, cips: bool, quiet: bool) -> CorrelatedPairs:
    """The pairs of a scene to train on: any two photos without ``cips``, else those of a file, or selected now."""
    from irploc.errors import BadInput

    scene = mapped.scene
    wanted = Wanted(scene.frames.of_split("train").names, scene.name, scene.mapping_fingerprint)
    if not cips:
        if given is not None:
            raise BadInput(f"--no-cips draws any two photos: leave --pairs {given} out")
        return any_pairs(wanted)
    return correlated_pairs(wanted, pairs_file(workspace, scene.name, given), lambda: mapped, quiet)
