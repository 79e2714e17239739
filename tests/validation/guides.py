"""Published packages in memory, and the whole check of a resource against them: structure, invariants, profiles. https://hl7.org/fhir/R4/validation.html"""

import asyncio
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server.fhir import codec
from fhir_server.fhir.definitions import load
from fhir_server.fhir.outcome import FhirError, Issue
from fhir_server.fhir.references import canonical
from fhir_server.interactions.canonicals import bound
from fhir_server.interactions.profiles import Memory, claims, elsewhere, told
from fhir_server.search.known import Members
from fhir_server.terminology.holds import holds
from fhir_server.terminology.system import System, listed
from fhir_server.validation.conform import conform
from fhir_server.validation.invariants import broken
from fhir_server.validation.library import Library
from fhir_server.validation.profile import Profile, compiled
from fhir_server.validation.structure import validator

PACKAGES = ("hl7.fhir.r4.core-4.0.1", "hl7.fhir.uv.genomics-reporting-3.0.0", "hl7.fhir.us.mcode-4.0.0")
KEPT = ("StructureDefinition", "ValueSet", "CodeSystem")
Resource = dict[str, Any]


class Guides:
    """Implements terminology.source.Source over the packages, and checks resources."""

    def __init__(self, folder: Path) -> None:
        self._held: dict[tuple[str, str], Resource] = {}
        for name in PACKAGES:
            with tarfile.open(folder / f"{name}.tgz") as archive:
                for member in archive:
                    if member.name.split("/")[-1].startswith(KEPT) and (file := archive.extractfile(member)):
                        resource = codec.decode(file.read())
                        if resource.get("derivation") != "specialization" and "url" in resource:
                            self._held[resource["resourceType"], resource["url"]] = resource
        self._validate = validator(load())
        self._systems: dict[str, System | None] = {}
        self.library = Library()

    async def value_set(self, url: str) -> Resource | Members | None:
        """See Source."""
        name = canonical(url)[0]
        return self._held.get(("ValueSet", name)) or bound(load()).get(name)

    async def system(self, url: str, version: str = "") -> System | None:
        """See Source."""
        if url not in self._systems:
            resource = self._held.get(("CodeSystem", url))
            self._systems[url] = listed(resource) if resource and resource.get("concept") else None
        return self._systems[url]

    def profile(self, url: str) -> Profile | None:
        """A profile of one of the packages."""
        if url not in self.library.profiles:
            found = self._held.get(("StructureDefinition", canonical(url)[0]))
            self.library.profiles[url] = compiled(found) if found and found.get("snapshot") else None
        return self.library.profiles[url]

    def errors(self, resource: Resource) -> list[Issue]:
        """All errors of a resource, as `$validate` finds them."""
        try:
            self._validate(resource)
        except FhirError as error:
            return list(error.issues)
        issues = [*broken(resource), *self._by_profiles(resource)]
        return [issue for issue in issues if issue.severity == "error"]

    def _by_profiles(self, resource: Resource) -> list[Issue]:
        memory, library = Memory(resource), self.library
        while True:
            found = [
                (profile, conform(claim.item, resource, profile, library, memory.holds, elsewhere(), 60))
                for claim in claims(resource, ())
                for profile in ([self.profile(url) for url in claim.urls] or [None])
            ]
            if not library.missing_profiles and not library.missing_answers:
                return list(told(found))
            for url in list(library.missing_profiles):
                self.profile(url)
            for question in list(library.missing_answers):
                library.answers[question] = asyncio.run(self._member(*question))
            library.missing_profiles.clear()
            library.missing_answers.clear()

    async def _member(self, url: str, system: str, code: str) -> bool | None:
        value_set = await self.value_set(url)
        try:
            return None if value_set is None else await holds(self, value_set, system, code)
        except FhirError:
            return None


@cache
def guides(shared: Path) -> Guides:
    """The packages, read once."""
    return Guides(shared / "r4-definitions" / "packages")


def examples(shared: Path, *folders: str) -> Mapping[str, Resource]:
    """The published examples of some folders that claim a profile, by name of file."""
    found: dict[str, Resource] = {}
    for folder in folders:
        for path in sorted((shared / "data" / folder).glob("*.json")):
            resource = codec.decode(path.read_bytes())
            if isinstance(resource, dict) and resource.get("resourceType") in load().resources and claims(resource):
                found[path.name] = resource
    return found
