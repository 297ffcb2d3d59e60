"""YAML read for people: every key knows its line, and no key may come twice.

Aliases are refused: settings are short, and an alias is how a small file becomes a
huge one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

# The way to a value: keys of mappings and indices of lists.
Key = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in the text that can not be read as settings. Lines count from 1."""

    line: int
    key: Key
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class Document:
    """What was read: plain values, the line of each key and item, and what could not be read."""

    value: Any = None
    lines: dict[Key, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)


def read(text: str | bytes) -> Document:
    """The one document in *text*; its value is None when there is nothing but comments."""
    try:
        # compose() only parses; SafeLoader can not make anything but plain values.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        return _Reader().document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return _unreadable(error.problem or "an error", mark.line + 1 if mark else 1)
    except yaml.YAMLError as error:
        return _unreadable(str(error).splitlines()[0], 1)
    except RecursionError:
        return _unreadable("nesting without end", 1)


def _unreadable(why: str, line: int) -> Document:
    return Document(faults=[Fault(line, (), "YAML", why)])


class _Reader:
    """One walk over the nodes of a document."""

    def __init__(self) -> None:
        self._lines: dict[Key, int] = {}
        self._faults: list[Fault] = []
        self._seen: set[int] = set()
        self._scalars = yaml.SafeLoader("")

    def document(self, root: yaml.Node | None) -> Document:
        value = None if root is None else self._value(root, ())
        return Document(value, self._lines, self._faults)

    def _value(self, node: yaml.Node, key: Key) -> Any:
        if id(node) in self._seen:
            self._refuse(node, key, "the value itself", "an alias (*name)")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            return {name: self._value(child, (*key, name)) for name, child in self._entries(node, key)}
        if isinstance(node, yaml.SequenceNode):
            return [self._item(child, (*key, index)) for index, child in enumerate(node.value)]
        return self._scalar(node, key)

    def _item(self, node: yaml.Node, key: Key) -> Any:
        self._lines[key] = node.start_mark.line + 1
        return self._value(node, key)

    def _entries(self, node: yaml.MappingNode, key: Key) -> Iterator[tuple[str, yaml.Node]]:
        names: set[str] = set()
        for name_node, child in node.value:
            name = self._scalar(name_node, key) if isinstance(name_node, yaml.ScalarNode) else None
            if not isinstance(name, str):
                self._refuse(name_node, key, "keys that are words", "another kind of key")
                continue
            entry: Key = (*key, name)
            if name in names:
                first = self._lines[entry]
                self._refuse(name_node, entry, "every key once", f"it again (first in line {first})")
                continue
            names.add(name)
            self._lines[entry] = name_node.start_mark.line + 1
            yield name, child

    def _scalar(self, node: yaml.Node, key: Key) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError):
            # `!!python/name:os.system`, `2024-99-99`, `!!bool maybe`: PyYAML has no one error for these.
            self._refuse(node, key, "a plain value", f"one that can not be read as {node.tag}")
            return None

    def _refuse(self, node: yaml.Node, key: Key, expected: str, found: str) -> None:
        self._faults.append(Fault(node.start_mark.line + 1, key, expected, found))
