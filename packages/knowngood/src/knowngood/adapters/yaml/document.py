"""
Document: YAML text as plain values, without the ways in which YAML surprises.

Read are mappings with text keys, lists, texts, whole and decimal numbers, ``true``, ``false``, ``null``. Refused are
aliases and anchors (they can expand without end), tags, keys that appear twice, several documents in one text, and
what is too large or nested too deeply. ``no``, ``on``, ``12:30``, ``0x1F``, ``1_000`` and dates stay texts, as written.
"""

import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from yaml import SafeLoader
from yaml.constructor import ConstructorError
from yaml.error import Mark, MarkedYAMLError, YAMLError
from yaml.events import AliasEvent, Event
from yaml.nodes import MappingNode, Node, ScalarNode
from yaml.resolver import Resolver

from knowngood_sdk.errors import InvalidError

__all__ = ["Document", "read_document"]

_DEEPEST = 32
_TAG = "tag:yaml.org,2002:"
_LONGEST_NUMBER = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """
    A YAML text that was read.

    Attributes:
        value: Plain mappings, lists, texts, numbers, truth values, None.
        lines: Path to a value, list positions as digits -> line on which its key, or it itself, stands; from 1.
    """

    value: Any
    lines: dict[tuple[str, ...], int]

    def line(self, path: tuple[str, ...]) -> int:
        """Return the line of a value, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(content: bytes, source: str, *, largest: int, ambiguous_is_text: bool = True) -> Document:
    """
    Read a YAML text.

    Args:
        content: UTF-8.
        source: What it is, for messages: usually a path.
        largest: Most bytes that are read.
        ambiguous_is_text: Whether an unquoted ``no``, ``12:30``, ``1_000`` or date, which other readers of YAML take
            for another type, is a text; else it is refused.

    Raises:
        InvalidError: It is not as described above; the message names the line.
    """
    if len(content) > largest:
        raise InvalidError(
            f"{source} has {len(content):,} bytes, more than {largest:,}",
            hint="Keep data out of it, in a file of its own",
        )
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{source} is not UTF-8: byte {error.start}", hint="Save it as UTF-8") from error
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reading = _Reading(ambiguous_is_text=ambiguous_is_text)
        return Document(value=None if node is None else reading.value((), node), lines=reading.lines)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        detail = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidError(f"{source}{where}: {detail}", hint=error.note or "Correct the YAML there") from error
    except YAMLError as error:  # characters that YAML does not allow
        raise InvalidError(f"{source}: {' '.join(str(error).split())}", hint="Remove the character") from error


class _Loader(SafeLoader):
    """PyYAML's pure loader, used up to the tree of nodes, with the scalar types of YAML 1.2's core schema."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
            name = getattr(event, "anchor", "")
            _refuse(event.start_mark, f"aliases and anchors ({name}) are not read", "Write the value out in each place")
        if getattr(event, "tag", None) is not None:
            _refuse(event.start_mark, f"tags ({_tag_of(event)}) are not read", "Remove it; quote what must be text")
        if self._depth >= _DEEPEST:
            _refuse(event.start_mark, f"it is nested more than {_DEEPEST} deep", "Nest it less")
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (  # a whole number was an int already: the first pattern that matches counts
        r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
_Loader.yaml_implicit_resolvers = {}  # none of YAML 1.1's
for _name, (_pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)


class _Reading:
    """The walk from nodes to plain values."""

    def __init__(self, *, ambiguous_is_text: bool) -> None:
        self.lines: dict[tuple[str, ...], int] = {}
        self._ambiguous_is_text = ambiguous_is_text
        self._other_readers = Resolver()

    def value(self, path: tuple[str, ...], node: Node) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, MappingNode):
            return self._mapping(path, node)
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        return [self.value((*path, str(index)), item) for index, item in enumerate(node.value)]

    def _mapping(self, path: tuple[str, ...], node: MappingNode) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node)
            here = (*path, key)
            if key in values:
                first = self.lines[here]
                _refuse(key_node.start_mark, f"the key {key!r} stands on line {first} already", "Keep one of them")
            self.lines[here] = key_node.start_mark.line + 1
            values[key] = self.value(here, value_node)
        return values

    def _key(self, node: Node) -> str:
        key = self._scalar(node) if isinstance(node, ScalarNode) else None
        if not isinstance(key, str):
            written = node.value if isinstance(node, ScalarNode) else "a list or mapping"
            _refuse(node.start_mark, f"the key {written} is not text", f'Put it in quotes: "{written}"')
        return key

    def _scalar(self, node: ScalarNode) -> Any:
        written = node.value
        if len(written) > _LONGEST_NUMBER and node.tag in {_TAG + "int", _TAG + "float"}:
            _refuse(node.start_mark, f"the number {written[:20]}... is too long", "Put it in quotes")
        if node.tag == _TAG + "null":
            return None
        if node.tag == _TAG + "bool":
            return written in {"true", "True", "TRUE"}
        if node.tag == _TAG + "int":
            return int(written)
        if node.tag == _TAG + "float":
            number = math.nan if written[-1].isalpha() else float(written)  # .inf, .nan
            if not math.isfinite(number):
                _refuse(node.start_mark, f"{written} is no finite number", "Leave the key out when there is no value")
            return number
        if not self._ambiguous_is_text and node.style is None:
            self._refuse_ambiguous(node)
        return written

    def _refuse_ambiguous(self, node: ScalarNode) -> None:
        tag = self._other_readers.resolve(ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        if tag != _TAG + "str":
            kind = tag.removeprefix(_TAG)
            _refuse(
                node.start_mark,
                f"{node.value} is text here and {kind} to other readers of YAML",
                f'Put it in quotes if it is text, else write it plainly: "{node.value}"',
            )


def _tag_of(event: Event) -> str:
    return str(getattr(event, "tag", "")).removeprefix(_TAG)


def _refuse(mark: Mark, problem: str, hint: str) -> NoReturn:
    raise ConstructorError(None, None, problem, mark, note=hint)
