"""Packages of conformance resources, as npm archives (.tgz), into the store. https://hl7.org/fhir/R4/implementationguide.html

Their StructureDefinitions, ValueSets, CodeSystems, ConceptMaps, SearchParameters and ImplementationGuides become
resources like any other: found by their URL, used at once by every process, kept with history.
"""

import hashlib
import tarfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fhir_server.fhir.codec import Resource, decode
from fhir_server.search.predicate import EVERYTHING
from fhir_server.store.seam import Store

KEPT = ("CodeSystem", "ValueSet", "ConceptMap", "StructureDefinition", "SearchParameter", "ImplementationGuide")
CORE = "hl7.fhir.r4.core"  # of which only what the program does not have: no search parameters, no types
LARGEST = 50_000_000  # bytes of one file in a package
CHUNK = 50  # resources written in one batch
PREFIX = "package/"

Execute = Callable[[Resource], Awaitable[bytes]]  # a batch -> its response


class Package(NamedTuple):
    """The name and version in package.json, and the SHA-256 of the archive."""

    name: str
    version: str
    checksum: str


class Note(msgspec.Struct, frozen=True):
    """State: what was added of a package."""

    version: str
    checksum: str
    stored: int


class Added(NamedTuple):
    """How many resources were stored, and why others were not (which, and the refusal)."""

    stored: int
    refused: list[tuple[str, str]]
    unchanged: bool = False


def describe(path: Path) -> Package:
    """What package a file is. Raises ValueError if it is none, OSError."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for name, body in _files(path):
        if name == "package.json":
            about = decode(body)
            if isinstance(about, dict) and isinstance(about.get("name"), str) and isinstance(about.get("version"), str):
                return Package(about["name"], about["version"], digest)
    raise ValueError(f"{path} is no FHIR package: there is no package/package.json with a name and a version in it.")


def resources(path: Path, package: Package) -> Iterator[Resource]:
    """The conformance resources of a package that are kept, without narrative."""
    for name, body in _files(path):
        if not name.endswith(".json") or name.startswith("."):
            continue
        resource = decode(body)
        if not isinstance(resource, dict) or resource.get("resourceType") not in KEPT or "url" not in resource:
            continue
        if package.name == CORE and (
            resource["resourceType"] == "SearchParameter"
            or (resource["resourceType"] == "StructureDefinition" and resource.get("derivation") != "constraint")
        ):
            continue
        yield {key: value for key, value in resource.items() if key != "text"}


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The files right in the folder `package` of an archive. They are read, never unpacked."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                folder, _, name = member.name.removeprefix("./").rpartition("/")
                if folder == "package" and member.isfile():
                    if member.size > LARGEST:
                        raise ValueError(f"{path}: {name} is larger than {LARGEST} bytes.")
                    held = archive.extractfile(member)
                    yield name, held.read() if held else b""
    except (tarfile.TarError, EOFError) as error:
        raise ValueError(f"{path} is no .tgz archive: {error}.") from None


async def add(store: Store, execute: Execute, path: Path) -> Added:
    """Store the resources of a package, unless the same archive was added before. Raises ValueError, OSError."""
    package = describe(path)
    kept = await store.get_state(PREFIX + package.name)
    if kept is not None:
        note = msgspec.json.decode(kept[0], type=Note)
        if note.checksum == package.checksum:
            return Added(note.stored, [], unchanged=True)
    stored, refused, chunk = 0, list[tuple[str, str]](), list[Resource]()
    found = iter(resources(path, package))
    while True:
        one = next(found, None)
        if one is not None:
            chunk.append(one)
        if chunk and (one is None or len(chunk) == CHUNK):
            answers = await _written(store, execute, chunk)
            stored += sum(not reason for _, reason in answers)
            refused += [(name, reason) for name, reason in answers if reason]
            chunk = []
        if one is None:
            break
    note = Note(package.version, package.checksum, stored)
    if not refused:
        await store.put_state(PREFIX + package.name, msgspec.json.encode(note), kept[1] if kept else 0)
    return Added(stored, refused)


async def _written(store: Store, execute: Execute, chunk: list[Resource]) -> list[tuple[str, str]]:
    """Each resource with why it was refused, "" if it was not."""
    entries = []
    for resource in chunk:
        type, id = resource["resourceType"], await _id(store, resource)
        request = {"method": "PUT", "url": f"{type}/{id}"}
        entries.append({"resource": {**resource, "id": id}, "request": request})
    told = decode(await execute({"resourceType": "Bundle", "type": "batch", "entry": entries}))
    return [
        (entry["request"]["url"], "" if answer["response"]["status"].startswith("2") else _reason(answer))
        for entry, answer in zip(entries, told["entry"], strict=True)
    ]


async def _id(store: Store, resource: Resource) -> str:
    """Its own id, unless a resource of another URL has it."""
    id = str(resource.get("id") or hashlib.sha256(resource["url"].encode()).hexdigest()[:16])[:64]
    held = await store.read(resource["resourceType"], id, EVERYTHING)
    if held is None or held.deleted or decode(held.body).get("url") == resource["url"]:
        return id
    return f"{id[:50]}-{hashlib.sha256(resource['url'].encode()).hexdigest()[:8]}"


def _reason(answer: dict[str, Any]) -> str:
    issue = answer["response"].get("outcome", {}).get("issue", [{}])[0]
    return str(issue.get("diagnostics") or answer["response"]["status"])


async def added(store: Store) -> list[tuple[str, Note]]:
    """The packages of a store by name."""
    listed = await store.list_state(PREFIX, 1000)
    return [(key.removeprefix(PREFIX), msgspec.json.decode(value, type=Note)) for key, value in listed]
