"""Names that users type -> the factories behind them, with a suggestion when a name is misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from irploc.errors import NotFound

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named factories. One instance per kind of thing (encoders, readers, methods)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files a class or function under ``name``; a second one of that name is a ValueError."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = entry
            return entry

        return add

    def get(self, name: str) -> T:
        """The entry called ``name``.

        Raises:
            NotFound: with the closest registered name, or all of them.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise NotFound(f"unknown {self.kind} {name!r}: {self._advice(name)}") from None

    def _advice(self, name: str) -> str:
        close = difflib.get_close_matches(name, self._entries, n=1)
        if close:
            return f"did you mean {close[0]!r}?"
        return f"choose one of {', '.join(sorted(self._entries))}"

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def items(self) -> list[tuple[str, T]]:
        """(name, entry) in alphabetical order."""
        return sorted(self._entries.items())
