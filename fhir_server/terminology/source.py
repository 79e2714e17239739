"""Where code systems and value sets are looked up by their canonical URLs. https://hl7.org/fhir/R4/references.html#canonical"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from fhir_server.fhir.codec import Resource
from fhir_server.fhir.outcome import refuse
from fhir_server.search.known import Members
from fhir_server.terminology.system import System


class Source(Protocol):
    """What a caller may look up; a canonical may name a version after `|`."""

    async def value_set(self, url: str) -> Resource | Members | None:
        """A ValueSet, or the codes of one that R4 itself lists."""
        ...

    async def system(self, url: str, version: str = "") -> System | None:
        """A code system with concepts, of this version or of the one that answers by default."""
        ...


@contextmanager
def sound(what: str) -> Iterator[None]:
    """FhirError 400 for a definition in which what must be there has extensions only, as R4 allows."""
    try:
        yield
    except KeyError as error:
        raise refuse(400, "invalid", f"{what[:200]} cannot be used: {error} is missing in it.") from None


class Versions:
    """A source in which code systems have the versions that a request asks for.

    `force` goes before what a value set says, `wanted` is for where it says nothing, and `check` must agree.
    """

    def __init__(self, source: Source, force: Mapping[str, str], wanted: Mapping[str, str], check: Mapping[str, str]):
        self._source, self._force, self._wanted, self._check = source, force, wanted, check

    async def value_set(self, url: str) -> Resource | Members | None:
        """See Source."""
        return await self._source.value_set(url)

    async def system(self, url: str, version: str = "") -> System | None:
        """See Source. Raises FhirError 400 if it would be another version than `check` says."""
        asked = self._force.get(url) or version or self._wanted.get(url, "")
        found = await self._source.system(url, asked)
        must = self._check.get(url)
        if must and found is not None and found.about.get("version", "") != must:
            has = found.about.get("version", "none")
            raise refuse(400, "business-rule", f"Code system {url[:200]!r} must have version {must[:60]!r}, not {has}.")
        return found
