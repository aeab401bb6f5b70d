"""The folder that holds a user's scenes and everything made from them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from irploc.errors import NotFound
from irploc.scene import Scene


@dataclass(frozen=True)
class Workspace:
    """Where artifacts lie by default: ``scenes/ embeddings/ indexes/ models/ runs/ reports/`` below ``root``."""

    root: Path

    @classmethod
    def locate(cls, root: Path | None = None) -> Workspace:
        """``root`` if given, else the environment's ``IRPLOC_WORKSPACE``, else the current folder."""
        return cls(root or Path(os.environ.get("IRPLOC_WORKSPACE") or "."))

    def embeddings(self, scene: str) -> Path:
        """Default path of a scene's embeddings."""
        return self.root / "embeddings" / f"{scene}.h5"

    def embeddings_of(self, scene: str) -> Path:
        """Where the embeddings of a scene lie that is given by name or as a folder, or by the name of its embeddings file.

        A scene's name need not be its folder's.
        """
        named = self.embeddings(Path(scene).name)
        if named.is_file():
            return named
        try:
            return self.embeddings(self.load_scene(scene).name)
        except NotFound:
            return named

    def index(self, scene: str) -> Path:
        """Default path of a scene's index."""
        return self.root / "indexes" / f"{scene}.faiss"

    def model(self, scene: str, method: str) -> Path:
        """Default path of a scene's trained model."""
        return self.root / "models" / f"{scene}.{method}.pt"

    def report(self, scene: str) -> Path:
        """Default path of a scene's report page."""
        return self.root / "reports" / f"{scene}.html"

    @property
    def runs(self) -> Path:
        """Where the records of trainings lie."""
        return self.root / "runs"

    def place_of_embeddings(self, path: Path, scene: str) -> str:
        """The name under which index and models of an embeddings file are kept: the scene's, or the file's own where a
        scene has several in this workspace (``embeddings/kitchen-densevlad.h5``)."""
        return path.stem if self.holds_embeddings(path) else scene

    def holds_embeddings(self, path: Path) -> bool:
        """Whether an embeddings file lies in this workspace."""
        return path.parent.resolve() == (self.root / "embeddings").resolve()

    def scene_folder(self, name_or_folder: str) -> Path:
        """The folder of a scene given as a path or as a name in this workspace.

        Raises:
            NotFound: naming the scenes that are there.
        """
        for folder in (Path(name_or_folder), self.root / "scenes" / name_or_folder):
            if (folder / "scene.toml").is_file():
                return folder
        there = self.scene_names()
        known = f"the workspace {self.root} has {', '.join(there)}" if there else f"the workspace {self.root} has no scenes"
        raise NotFound(f"no scene {name_or_folder!r}: {known}")

    def load_scene(self, name_or_folder: str) -> Scene:
        """Reads the scene that ``scene_folder`` finds."""
        return Scene.load(self.scene_folder(name_or_folder))

    def scene_names(self) -> list[str]:
        """Names of the folders below ``scenes/`` that hold a scene."""
        return sorted(path.parent.name for path in (self.root / "scenes").glob("*/scene.toml"))

    def embedded_scenes(self) -> list[str]:
        """Names that have an embeddings file; views (``irploc views``) belong to the scene that they were drawn of."""
        names = {path.stem for path in (self.root / "embeddings").glob("*.h5")}
        return sorted(name for name in names if name.removesuffix("-views") not in names - {name})

    def scenes_to_search(self) -> list[str]:
        """Where to localize when the user names no scene; further embeddings of a scene do not count.

        Raises:
            NotFound: when nothing is embedded.
        """
        names = self.embedded_scenes()
        if not names:
            raise NotFound(f"no embeddings in {self.root / 'embeddings'}: run 'irploc embed SCENE' first")
        return [name for name in names if name in self.scene_names()] or names
