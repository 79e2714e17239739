"""`fhir-server match`: candidates for every open study, with the reasons, as far as each patient consents."""

import argparse
import asyncio
import sys
import time

from fhir_server.app import open_server
from fhir_server.commands.compat import compat
from fhir_server.matching.match import MatchSummary, match
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Match and print what was found; 1 if some records kept changing. Raises FhirError 404, StoreError."""
    if args.ctml_compat:
        return asyncio.run(compat(args, settings))
    began = time.monotonic()
    found = asyncio.run(_match(args, settings))
    for study, text in found.problems:
        print(f"to mend: ResearchStudy/{study}: {text}", file=sys.stderr)
    for study, text in found.refused:
        print(f"not matched: ResearchStudy/{study}: {text}", file=sys.stderr)
    print(
        f"{found.studies:,} open studies, {found.permitted:,} of {found.patients:,} patients permit matching and live\n"
        f"{found.candidates:,} candidates, {found.potential:,} potential candidates for want of some fact\n"
        f"{found.written:,} written, {found.unchanged:,} unchanged, {found.retracted:,} no longer eligible, "
        f"{found.withdrawn:,} withdrawn with the consent, {found.untouched:,} left to the person who keeps them\n"
        f"{found.pairs:,} pairs judged in {time.monotonic() - began:.1f} s"
    )
    if found.unfinished:
        print(f"{found.unfinished:,} records kept changing meanwhile: run match again", file=sys.stderr)
    return 1 if found.unfinished else 0


async def _match(args: argparse.Namespace, settings: Settings) -> MatchSummary:
    async with open_server(settings) as server:
        return await match(server, args.study)
