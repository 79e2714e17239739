"""`fhir-server reindex`: all index entries computed anew from the stored resources."""

import argparse
import asyncio
import time

from fhir_server.access import OPERATOR
from fhir_server.access.renewal import rule_all
from fhir_server.app import open_server
from fhir_server.operations.reindex import reindexed
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Reindex and print how many resources that were. Raises ValueError for an unknown type, StoreError."""
    began = time.monotonic()
    count = asyncio.run(_reindex(args, settings))
    print(f"{count:,} resources indexed in {time.monotonic() - began:.1f} s")
    return 0


async def _reindex(args: argparse.Namespace, settings: Settings) -> int:
    async with open_server(settings) as server:
        for type in args.type:
            if type not in server.definitions.resources:
                raise ValueError(f"There is no resource type {type!r} in FHIR R4.")

        report = await reindexed(server, OPERATOR, tuple(args.type))
        if not args.type:
            await rule_all(server)
        for url, error in report.refused.items():
            print(f"{url} is not searched: {error}")
        return report.count
