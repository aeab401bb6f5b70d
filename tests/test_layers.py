"""The floors of docs/architecture.md: a part imports only parts of a lower floor, or its own."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "irploc"
FLOORS = [
    {"errors", "progress"},
    {
        "files",
        "registry",
        "config",
        "geometry",
        "provenance",
        "torchvision_safe",
        "pycolmap_safe",
        "opencv_safe",
        "onnxruntime_safe",
        "ply",
    },
    {"scene", "images", "depth", "projection", "posefile", "runs"},
    {"splits", "workspace", "readers", "floormap", "synthetic", "scene_picture", "pointcloud"},
    {"encoders"},
    {"retrieval"},
    {"pairs"},
    {"training", "mapping"},
    {"structure"},
    {"estimators"},
    {"localizer"},
    {"learning", "tracking", "onnxmodel"},
    {"evaluation", "overlay"},
    {"report", "export"},
    {"service"},
    {"cli"},
]
FLOOR_OF = {part: floor for floor, parts in enumerate(FLOORS) for part in parts}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: Path) -> str:
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imported_names(module: Path) -> set[str]:
    """Every dotted name a module imports, at any depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module} imports relatively"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imported_parts(module: Path) -> set[str]:
    parts = {name.split(".")[1] for name in imported_names(module) if name.startswith("irploc.")}
    return {part for part in parts if (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()}


def test_every_part_stands_on_a_floor() -> None:
    parts = {part_of(module) for module in MODULES} - {"__init__"}
    assert parts <= set(FLOOR_OF), f"give {parts - set(FLOOR_OF)} a floor"


@pytest.mark.parametrize(
    "module", [path for path in MODULES if path.parent != PACKAGE or path.name != "__init__.py"], ids=str
)
def test_a_part_imports_only_lower_floors_or_its_own(module: Path) -> None:
    part = part_of(module)
    for other in imported_parts(module) - {part}:
        assert FLOOR_OF[other] < FLOOR_OF[part], f"{part} (floor {FLOOR_OF[part]}) imports {other} (floor {FLOOR_OF[other]})"


@pytest.mark.parametrize(
    ("library", "home"),
    [
        ("torchvision", "torchvision_safe.py"),
        ("pycolmap", "pycolmap_safe.py"),
        ("h5py", "retrieval/store.py"),
        ("faiss", "retrieval/index.py"),
        ("cv2", "opencv_safe.py"),
        ("onnxruntime", "onnxruntime_safe.py"),
        ("tensorboardX", "runs/events.py"),
        ("imageio_ffmpeg", "mapping/video.py"),
    ],
)
def test_a_library_with_one_home_is_imported_there_only(library: str, home: str) -> None:
    users = {
        str(path.relative_to(PACKAGE)) for path in MODULES if library in {n.split(".")[0] for n in imported_names(path)}
    }
    assert users == {home}


def test_geometry_needs_numpy_and_scipy_only() -> None:
    for module in (PACKAGE / "geometry").glob("*.py"):
        roots = {name.split(".")[0] for name in imported_names(module)}
        assert roots <= {"__future__", "collections", "dataclasses", "irploc", "numpy", "scipy", "typing"}, module
