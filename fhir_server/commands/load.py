"""`fhir-server load`: files into a store, with progress, rate and every refusal."""

import argparse
import asyncio
import sys

from fhir_server.access import OPERATOR
from fhir_server.app import open_server
from fhir_server.commands.bar import reporter, summary
from fhir_server.export.load import Loading, load
from fhir_server.export.sources import find
from fhir_server.fhir.codec import Resource
from fhir_server.interactions.ask import Ask
from fhir_server.interactions.batch import batch_or_transaction
from fhir_server.interactions.transaction import Also
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Load and print the summary; 1 if anything was refused. Raises FileNotFoundError, StoreError."""
    progress = asyncio.run(_load(args, settings))
    for refusal in progress.refusals:
        print(f"refused: {refusal.file}{refusal.place and f' {refusal.place}'}: {refusal.reason}", file=sys.stderr)
    print(summary(progress, len(progress.refusals), "loaded"))
    return 1 if progress.refusals else 0


async def _load(args: argparse.Namespace, settings: Settings) -> Loading:
    files = list(find(args.paths))
    async with open_server(settings) as server:

        async def execute(bundle: Resource, also: Also | None) -> bytes:
            return (await batch_or_transaction(server, OPERATOR, Ask(resource=bundle), also=also)).body

        return await load(server.store, execute, files, args.again, reporter())
