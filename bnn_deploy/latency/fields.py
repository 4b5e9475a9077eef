"""Reading one line of a table: every member is there, of its type, and nothing else is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from bnn_deploy.errors import FileFormatError

_Enum = TypeVar("_Enum", bound=Enum)


class Fields:
    """The members of a JSON object, each to be taken once.

    Args:
        what: the object's name, for messages.
        values: the object.

    Raises:
        FileFormatError: by each method, naming the member, what was expected and what came.
    """

    def __init__(self, what: str, values: object) -> None:
        if not isinstance(values, Mapping):
            raise FileFormatError(f"{what}: expected an object, got {values!r}")
        self._what, self._values = what, dict(values)

    def take(self, name: str) -> object:
        """Any value."""
        if name not in self._values:
            raise FileFormatError(f"{self._what}: {name} is missing")
        return self._values.pop(name)

    def integer(self, name: str, low: int = 0) -> int:
        """A whole number of at least `low`."""
        return self._integer(name, self.take(name), low)

    def optional_integer(self, name: str) -> int | None:
        """A whole number, or None where the board does not tell."""
        value = self.take(name)
        return None if value is None else self._integer(name, value, low=-(2**63))

    def optional_number(self, name: str) -> float | None:
        """Any number of at least 0, or None where the board does not tell."""
        value = self.take(name)
        return None if value is None else self._number(name, value)

    def number(self, name: str) -> float:
        """Any number of at least 0."""
        return self._number(name, self.take(name))

    def _number(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self._wrong(name, "a number >= 0", value)
        return float(value)

    def boolean(self, name: str) -> bool:
        """True or False."""
        value = self.take(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return value

    def text(self, name: str) -> str:
        """A text."""
        value = self.take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return value

    def optional_text(self, name: str) -> str | None:
        """A text or None."""
        value = self.take(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text or null", value)
        return value

    def choice(self, name: str, of: type[_Enum]) -> _Enum:
        """One of an enumeration's values."""
        value = self.text(name)
        if value not in {entry.value for entry in of}:
            raise self._wrong(name, f"one of {', '.join(entry.value for entry in of)}", value)
        return of(value)

    def integers(self, name: str, low: int = 0, count: int = 0) -> tuple[int, ...]:
        """At least `count` whole numbers of at least `low`."""
        values = self.take(name)
        if not isinstance(values, list | tuple) or len(values) < count:
            raise self._wrong(name, f"a list of at least {count}", values)
        return tuple(self._integer(name, value, low) for value in values)

    def end(self) -> None:
        """Refuses members that nobody took: a newer file, or a misspelt one."""
        if self._values:
            raise FileFormatError(f"{self._what}: unknown member {sorted(map(str, self._values))[0]}")

    def _integer(self, name: str, value: object, low: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise self._wrong(name, f"a whole number >= {low}", value)
        return value

    def _wrong(self, name: str, expected: str, value: object) -> FileFormatError:
        return FileFormatError(f"{self._what}: {name}: expected {expected}, got {value!r}")
