"""Large code systems in a store: numbered terms with all that lies above them, and what they are selected by.

A store knows nothing of FHIR here either. An edition is one version of one code system; its terms have numbers from 0
in the order of its file, the numbers of everything above them (the closure), and keys: opaque texts that conditions
name. https://hl7.org/fhir/R4/codesystem.html#hierarchy
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Edition(NamedTuple):
    """One version of a code system; `about` is the CodeSystem resource without its concepts, as JSON."""

    number: int
    url: str
    version: str
    checksum: str
    size: int  # how many terms
    about: bytes


class Term(NamedTuple):
    """One concept; `body` is CodeSystem.concept as JSON. `keys` are written only: what is read has none."""

    n: int
    code: str
    above: tuple[int, ...]
    keys: tuple[str, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Below:
    """Terms below number `n`, itself not included."""

    n: int


@dataclass(frozen=True, slots=True)
class Among:
    """Terms with these numbers."""

    ns: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Keyed:
    """Terms with this key, or with one that begins like it."""

    key: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class AllOf:
    """All parts; of none: every term."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Some part; of none: no term."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class No:
    """Every term that `part` is not."""

    part: "Condition"


Condition = Below | Among | Keyed | AllOf | AnyOf | No
EVERY = AllOf(())


class Terms(Protocol):
    """The code systems of a store. Terms come in the order of their numbers."""

    async def editions(self, url: str = "") -> list[Edition]:
        """Those that answer (of one code system, if `url` is given), the one finished last first."""
        ...

    async def begin(self, url: str, version: str, checksum: str, about: bytes) -> int:
        """The number of a new edition, which does not answer yet. What is left of an import of the same that was
        broken off is removed."""
        ...

    async def add(self, edition: int, terms: Sequence[Term]) -> None:
        """Add terms to an edition that is not finished."""
        ...

    async def finish(self, edition: int) -> list[int]:
        """Let it answer, at one moment in place of what answered for this url and version; returns the numbers of
        those, for `remove` once nobody reads them. Raises Conflict if another import removed it."""
        ...

    async def remove(self, edition: int) -> None:
        """Take an edition away with its terms; it stops to answer at once."""
        ...

    async def find(self, edition: int, codes: Sequence[str]) -> list[Term]:
        """The terms with these codes; those that are not there are left out."""
        ...

    async def select(self, edition: int, where: Condition, offset: int, count: int) -> list[Term]:
        """A page of the terms that meet the condition."""
        ...

    async def codes(self, edition: int, where: Condition, count: int) -> list[str]:
        """The codes of the first `count` terms that meet the condition."""
        ...

    async def count(self, edition: int, where: Condition) -> int:
        """How many terms meet the condition."""
        ...
