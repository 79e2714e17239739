"""`fhir-server terminology`: import, list and remove large code systems. https://hl7.org/fhir/R4/terminology-module.html"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.server import Server
from fhir_server.settings import Settings
from fhir_server.terminology.add import Added, add
from fhir_server.terminology.formats import FORMATS
from fhir_server.terminology.formats.content import Content

LINE_EVERY = 5.0  # seconds between two lines of progress


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Do one of ACTIONS; 1 if there is nothing to remove. Raises ValueError for files that make no sense, OSError,
    StoreError."""
    return asyncio.run(_run(args, settings))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    async with open_server(settings) as server:
        return await ACTIONS[args.action](server, args)


async def _add(server: Server, args: argparse.Namespace) -> int:
    if len(args.names) != 2 or args.names[0] not in FORMATS:
        raise ValueError(f"terminology add takes FORMAT and FILE; the formats are {', '.join(FORMATS)}.")
    format, path = args.names[0], Path(args.names[1])
    began = time.monotonic()
    try:
        content = FORMATS[format](path, args.version, args.system)
        added = await add(server.store.terms, content, _reporter())
    except (ValueError, KeyError, UnicodeError) as error:  # KeyError: a column that is not there
        what = f"the column {error} is missing" if isinstance(error, KeyError) else f"{error}"
        raise ValueError(f"Nothing was imported: {what}.".replace("..", ".")) from None
    named = f"{added.url}|{added.version}"
    if added.unchanged:
        print(f"{named}: these files were imported before, {added.concepts:,} concepts")
        return 0
    await _describe(server, content, added)
    strange = f", {added.strange:,} parents left out that are no concepts" if added.strange else ""
    print(
        f"{named}: {added.concepts:,} concepts ({added.inactive:,} inactive), {added.pairs:,} pairs in the closure"
        f"{strange}, {time.monotonic() - began:.1f} s"
    )
    return 0


def _reporter() -> Callable[[int, int], None]:
    due = time.monotonic() + LINE_EVERY

    def report(done: int, all: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + LINE_EVERY
            print(f"{done:,} of {all:,} concepts", file=sys.stderr, flush=True)

    return report


async def _describe(server: Server, content: Content, added: Added) -> None:
    """Write the CodeSystem resource, whose concepts are elsewhere, and the ConceptMaps that came with it."""
    about = {key: value for key, value in content.about.items() if key not in ("content", "count")}
    described: Resource = {**about, "content": "not-present", "count": added.concepts}
    entries = []
    for resource in (described, *content.also):
        id = _id(f"{resource.get('name') or 'code-system'}-{resource.get('version', '')}")
        whole = {"resourceType": resource["resourceType"], "id": id, **resource}
        entries.append({"resource": whole, "request": {"method": "PUT", "url": f"{resource['resourceType']}/{id}"}})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    await batch_or_transaction(server, OPERATOR, Ask(resource=codec.decode(codec.encode(bundle))))


def _id(text: str) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")[-64:].strip("-.") or "unnamed"


async def _list(server: Server, args: argparse.Namespace) -> int:
    for edition in await server.store.terms.editions():
        print(f"{edition.url}\t{edition.version}\t{edition.size:,} concepts\t{edition.checksum[:16]}")
    return 0


async def _remove(server: Server, args: argparse.Namespace) -> int:
    if len(args.names) != 1:
        raise ValueError("terminology remove takes the URL of a code system, and --version for one of several.")
    found = [
        edition for edition in await server.store.terms.editions(args.names[0]) if args.version in ("", edition.version)
    ]
    if len(found) > 1:
        raise ValueError(f"There are versions {', '.join(edition.version for edition in found)}: give --version.")
    for edition in found:
        await server.store.terms.remove(edition.number)
    print(f"{args.names[0]}: " + ("removed" if found else "was not imported"))
    return 0 if found else 1


ACTIONS = {"add": _add, "list": _list, "remove": _remove}
