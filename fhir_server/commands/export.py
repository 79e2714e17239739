"""`fhir-server export`: NDJSON or Parquet, a file per resource type. Consent does not filter for an operator."""

import argparse
import asyncio
import sys

from fhir_server.app import open_server
from fhir_server.commands import ctml
from fhir_server.export.ndjson import Lines, export
from fhir_server.settings import Settings
from fhir_server.views.resources import Parquet


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Export and print how many resources of each type were written. Raises FhirError, StoreError, OSError."""
    args.format = args.form or args.format
    if args.format == ctml.NAME:
        return ctml.export(args, settings)
    counts = asyncio.run(_export(args, settings))
    for type, count in counts.items():
        print(f"{count:>10,}  {args.out / type}.{args.format}")
    print(f"{sum(counts.values()):>10,}  resources")
    return 0


async def _export(args: argparse.Namespace, settings: Settings) -> dict[str, int]:
    def report(type: str, count: int) -> None:
        if sys.stderr.isatty():
            print(f"\r{type}: {count:,} ", end="", file=sys.stderr, flush=True)

    async with open_server(settings) as server:
        opened = Parquet if args.format == "parquet" else Lines
        return await export(server, args.out, args.type, args.group, report, args.format, opened)
