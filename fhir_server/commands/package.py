"""`fhir-server package`: profiles, value sets and the like of implementation guides. https://hl7.org/fhir/R4/implementationguide.html"""

import argparse
import asyncio
import dataclasses
import sys
from pathlib import Path

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.export.packages import add, added
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Add the packages of files, or list those there are; 1 if a resource was refused.

    Raises ValueError, OSError, StoreError.
    """
    if (args.action == "list") == bool(args.files):
        raise ValueError("package list takes no file." if args.files else "package add takes one file or more.")
    # What a guide holds is kept as it is: profiles of profiles are not what the setting is for.
    return asyncio.run(_run(args, dataclasses.replace(settings, profiles="off")))


async def _run(args: argparse.Namespace, settings: Settings) -> int:
    async with open_server(settings) as server:
        if args.action == "list":
            for name, note in await added(server.store):
                print(f"{name}\t{note.version}\t{note.stored:,} resources\t{note.checksum[:16]}")
            return 0

        async def execute(bundle: Resource) -> bytes:
            return (await batch_or_transaction(server, OPERATOR, Ask(resource=bundle))).body

        refusals = 0
        for path in args.files:
            done = await add(server.store, execute, Path(path))
            for name, reason in done.refused:
                print(f"refused: {name}: {reason}", file=sys.stderr)
            how = "was added before" if done.unchanged else "added"
            print(f"{path}: {how}, {done.stored:,} resources stored, {len(done.refused):,} refused")
            refusals += len(done.refused)
        return 1 if refusals else 0
