"""What lies in files, as Bundles to execute: transactions, batches, resources, NDJSON. https://hl7.org/fhir/R4/bundle.html

A file's own transaction or batch is executed as it is. Everything else becomes `update`s that keep each resource's id
(`create`s where there is none), at most CHUNK of them in one Bundle, so that a large file needs little memory.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from fhir_server.fhir.codec import Resource, read_resource
from fhir_server.fhir.outcome import FhirError

CHUNK = 100  # resources in one Bundle
COLLECTIONS = ("collection", "searchset")  # Bundles whose entries are loaded; a document or message is kept whole


class Work(NamedTuple):
    """A Bundle to execute and where each of its entries comes from, in the words of the summary.

    `divisible`: if it is refused as a transaction, its entries may be tried one by one.
    """

    bundle: Resource
    places: tuple[str, ...]
    divisible: bool


class Unreadable(NamedTuple):
    """A piece of a file that never becomes a request: where it is and what is wrong with it."""

    place: str
    diagnostics: str


def find(paths: Iterable[Path]) -> Iterator[Path]:
    """The .json and .ndjson files among and below `paths`, each folder in order of name. Raises FileNotFoundError."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.suffix in (".json", ".ndjson") and p.is_file())
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"There is no file or folder {str(path)!r}.")


def read(path: Path) -> Iterator[Work | Unreadable]:
    """The pieces of one file, in order. Raises OSError if it cannot be read."""
    if path.suffix == ".ndjson":
        with path.open("rb") as file:
            lines = ((f"line {number}", line) for number, line in enumerate(file, 1) if line.strip())
            yield from _chunks(_decoded(lines), divisible=True)
    else:
        for piece in _decoded([("", path.read_bytes())]):
            yield from [piece] if isinstance(piece, Unreadable) else _of_resource(piece[1])


def _decoded(texts: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, Resource] | Unreadable]:
    for place, text in texts:
        try:
            yield place, read_resource(text)[0]
        except FhirError as refusal:
            yield Unreadable(place, str(refusal))


def _of_resource(resource: Resource) -> Iterator[Work | Unreadable]:
    kind = resource.get("type") if resource["resourceType"] == "Bundle" else None
    entries = resource.get("entry")
    if kind in ("transaction", "batch"):
        count = len(entries) if isinstance(entries, list) else 0
        yield Work(resource, tuple(f"entry {number}" for number in range(count)), False)
    elif kind in COLLECTIONS and isinstance(entries, list):
        yield from _of_collection(entries)
    else:
        yield from _chunks([("", resource)], divisible=True)


def _of_collection(entries: list[Any]) -> Iterator[Work | Unreadable]:
    """References by `urn:uuid` can only be resolved within one transaction: such a collection is loaded whole."""
    found: list[tuple[str, Resource] | Unreadable] = []
    urls: dict[str, str] = {}
    for number, entry in enumerate(entries):
        place, resource = f"entry {number}", entry.get("resource") if isinstance(entry, dict) else None
        if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
            found.append(Unreadable(place, "The entry has no resource with a resourceType."))
        elif not (isinstance(entry.get("search"), dict) and entry["search"].get("mode") == "outcome"):
            found.append((place, resource))
            if str(entry.get("fullUrl", "")).startswith("urn:"):
                urls[place] = entry["fullUrl"]
    yield from _chunks(found, divisible=not urls, size=len(found) if urls else CHUNK, urls=urls)


def _chunks(
    pieces: Iterable[tuple[str, Resource] | Unreadable],
    divisible: bool,
    size: int = CHUNK,
    urls: dict[str, str] | None = None,
) -> Iterator[Work | Unreadable]:
    iterator = iter(pieces)
    while chunk := list(islice(iterator, max(size, 1))):
        yield from (piece for piece in chunk if isinstance(piece, Unreadable))
        good = [piece for piece in chunk if not isinstance(piece, Unreadable)]
        if good:
            entries = [_entry(resource, (urls or {}).get(place)) for place, resource in good]
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
            yield Work(bundle, tuple(place for place, _ in good), divisible)


def _entry(resource: Resource, full_url: str | None) -> Resource:
    kind, id = resource["resourceType"], resource.get("id")
    request = {"method": "POST", "url": kind} if id is None else {"method": "PUT", "url": f"{kind}/{id}"}
    entry: Resource = {"resource": resource, "request": request}
    return {"fullUrl": full_url, **entry} if full_url else entry
