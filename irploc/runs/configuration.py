"""``Configuration``: what a training was told and what it was trained on, as TOML, so that it can be done again."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from irploc import provenance
from irploc.errors import BadInput, NotFound
from irploc.files import write_text

FORMAT, VERSION = "irploc-training-configuration", 1
_TABLES = ("options", "recipe", "data", "made_with")
_KNOWN = ("format", "version", "irploc", "command", "arguments", "scene", "method", *_TABLES)


@dataclass(frozen=True)
class Configuration:
    """A training, in words and numbers.

    Attributes:
        command: the words after ``irploc``, ``train siamese``; empty where a file does not say.
        arguments: what was typed after them, a scene's name for example; told, not used again.
        scene, method: what the run and the model are filed under.
        options: of the command, by their long names with underscores; those that a recipe field expresses are left out.
        recipe: every field of the recipe.
        data: what identifies the photos, their embeddings and whatever else the result depends on.
        made_with: device, versions and threads; other ones may change the last digits.
    """

    command: str = ""
    arguments: tuple[str, ...] = ()
    scene: str = ""
    method: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    made_with: Mapping[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all; paths among the options become relative to its folder."""
        import tomli_w

        again = f"irploc {self.command} {' '.join(self.arguments)} --config {path}"
        content = {**provenance.header(FORMAT, VERSION), **self.to_plain(path.parent)}
        write_text(path, f"# Trained again by: {_one_line(again)}\n{tomli_w.dumps(content)}")

    def to_plain(self, folder: Path) -> dict[str, Any]:
        """Strings, numbers, lists and tables; paths relative to ``folder``."""
        return {
            "command": self.command,
            "arguments": list(self.arguments),
            "scene": self.scene,
            "method": self.method,
            **{name: _plain(getattr(self, name), folder) for name in _TABLES},
        }

    def same_training(self, other: Configuration, folder: Path) -> bool:
        """Whether one is the continuation of the other; ``other`` was read from a folder beside ``folder``."""
        mine, theirs = self.to_plain(folder), other.to_plain(folder)
        same = all(mine[name] == theirs[name] for name in ("command", "scene", "method", "options", "recipe", "data"))
        return same and self.made_with.get("device") == other.made_with.get("device")

    @classmethod
    def load(cls, path: Path) -> Configuration:
        """Reads a file that was saved or written by hand; by hand, any part may be left out.

        Raises:
            NotFound: no such file. BadInput: not TOML, or a key that nothing knows. Mismatch: a file of another format.
        """
        content = _read_toml(path)
        if "format" in content or "version" in content:
            provenance.check_header(content, FORMAT, VERSION, path)
        refuse_unknown(content, _KNOWN, f"{path} has no place for {{}}", "options of the command stand under [options]")
        for name in _TABLES:
            if not isinstance(content.get(name, {}), dict):
                raise BadInput(f"{path}: {name} must be a table, [{name}]")
        for name in ("command", "scene", "method"):
            if not isinstance(content.get(name, ""), str):
                raise BadInput(f"{path}: {name} must be a text")
        arguments = content.get("arguments", [])
        if not isinstance(arguments, list) or not all(isinstance(word, str) for word in arguments):
            raise BadInput(f"{path}: arguments must be a list of texts")
        known = {name: content[name] for name in (*_TABLES, "command", "scene", "method") if name in content}
        return cls(arguments=tuple(arguments), **known)


def configuration_path(model: Path) -> Path:
    """Beside the model: ``models/kitchen.irpnet.toml`` of ``models/kitchen.irpnet.pt``."""
    return model.with_name(f"{model.name.removesuffix('.pt')}.toml")


def check_replaceable(path: Path) -> None:
    """Raises BadInput when a file of something else lies where the configuration of a model would be written."""
    if not path.exists():
        return
    try:
        ours = _read_toml(path).get("format") == FORMAT
    except (BadInput, NotFound):
        ours = False
    if not ours:
        raise BadInput(f"{path} is not a configuration of a training and would be replaced by one: choose another --out")


def refuse_unknown(given: Mapping[str, Any], known: Collection[str], words: str, advice: str) -> None:
    """Raises BadInput for the first key that is not known: ``words`` with the key in them, and the closest one."""
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else advice
            raise BadInput(f"{words.format(repr(name))}: {hint}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"no configuration {path}: a training keeps its own beside the model and in its run folder") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not TOML: {_one_line(str(error))}") from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror or error}") from None


def _plain(values: Any, folder: Path) -> Any:
    if isinstance(values, Mapping):
        return {name: _plain(value, folder) for name, value in values.items() if value is not None}
    if isinstance(values, list | tuple):
        return [_plain(value, folder) for value in values]
    if isinstance(values, Path):
        return Path(os.path.relpath(values, folder)).as_posix()
    return values.item() if hasattr(values, "item") else values  # a number of numpy's


def _one_line(text: str) -> str:
    return " ".join(text.split())
