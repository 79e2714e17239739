"""The grammar of `_filter`, read into a tree. https://hl7.org/fhir/R4/search_filter.html

`and` binds closer than `or`. A path is `a`, `a.b` or `a[filter].b`; a value is a JSON string or runs to the next space,
`)` or `]`.
"""

import json
import re
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from fhir_server.fhir.outcome import refuse

OPERATIONS = frozenset(
    {"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "ap", "sa", "eb", "pr", "po", "ss", "sb", "in", "re"}
)
DEEPEST = 50  # brackets in brackets


class Step(NamedTuple):
    """A parameter of a path, and the filter in brackets after it."""

    name: str
    inside: "Node | None" = None


@dataclass(frozen=True, slots=True)
class Test:
    """`path operator value`; the last step is the parameter compared."""

    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Both:
    """All parts."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Some part."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """Not this."""

    part: "Node"


Node = Test | Both | Either | Negation

_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"[A-Za-z_][\w:\-]*", re.ASCII)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_VALUE = re.compile(r"[^\s\])]+")


def parse(text: str) -> Node:
    """The tree of a filter. Raises FhirError 400 that says where it stopped making sense."""
    reader = _Reader(text)
    found = reader.either(0)
    if reader.at < len(text):
        reader.fail("and, or, or the end")
    return found


class _Reader:
    """Recursive descent; `at` is the place of the next character that is no space."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.take(_SPACE, "")

    def fail(self, expected: str) -> NoReturn:
        rest = self.text[self.at : self.at + 30]
        raise refuse(400, "value", f"_filter: at character {self.at + 1} ({rest!r}) there should be {expected}.")

    def take(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            self.fail(expected)
        self.at = found.end()
        return found.group()

    def space(self) -> None:
        self.take(_SPACE, "")

    def sign(self, sign: str) -> bool:
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        self.space()
        return True

    def word(self, word: str) -> bool:
        """Whether the next word is this one; then it is taken."""
        found = _NAME.match(self.text, self.at)
        if found is None or found.group() != word:
            return False
        self.at = found.end()
        self.space()
        return True

    def either(self, depth: int) -> Node:
        parts = [self.both(depth)]
        while self.word("or"):
            parts.append(self.both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def both(self, depth: int) -> Node:
        parts = [self.one(depth)]
        while self.word("and"):
            parts.append(self.one(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def one(self, depth: int) -> Node:
        if depth > DEEPEST:
            raise refuse(400, "too-costly", f"_filter: brackets may be {DEEPEST} deep.")
        start = self.at
        negative = self.word("not")
        if self.sign("("):
            inside = self.either(depth + 1)
            if not self.sign(")"):
                self.fail("and, or, or a closing bracket")
            return Negation(inside) if negative else inside
        self.at = start  # a parameter may be called `not`
        return self.test(depth)

    def test(self, depth: int) -> Test:
        path = [self.step(depth)]
        while self.text.startswith(".", self.at):
            self.at += 1
            path.append(self.step(depth))
        if path[-1].inside is not None:
            self.fail("a dot and a parameter after the closing bracket")
        self.space()
        operator = self.take(_NAME, f"one of {' '.join(sorted(OPERATIONS))}")
        if operator not in OPERATIONS:
            self.at -= len(operator)
            self.fail(f"one of {' '.join(sorted(OPERATIONS))}")
        self.space()
        return Test(tuple(path), operator, self.value())

    def step(self, depth: int) -> Step:
        name = self.take(_NAME, "the name of a search parameter")
        if not self.text.startswith("[", self.at):
            return Step(name)
        self.at += 1
        self.space()
        inside = self.either(depth + 1)
        if not self.text.startswith("]", self.at):
            self.fail("and, or, or a closing bracket")
        self.at += 1
        return Step(name, inside)

    def value(self) -> str:
        if self.text.startswith('"', self.at):
            start = self.at
            quoted = self.take(_STRING, "a closing quotation mark")
            try:
                found = str(json.loads(quoted, strict=False))
                found.encode()
            except ValueError:
                self.at = start
                self.fail("a JSON string")
        else:
            found = self.take(_VALUE, "a value")
        self.space()
        return found
