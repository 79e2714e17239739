"""`fhir-server import`: NDJSON, or a VCF, into a store, as fast as it goes, with every line that was refused."""

import argparse
import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from fhir_server.app import open_server
from fhir_server.commands import ctml, dtc, vcf
from fhir_server.commands.bar import reporter, summary
from fhir_server.export.bring import Import, Refusal, bring, find
from fhir_server.export.noted import outcome
from fhir_server.genomics.vcf.convert import Wish
from fhir_server.settings import Settings


def run(args: argparse.Namespace, settings: Settings) -> int:
    """Import and print the summary; 1 if anything was refused. Raises FileNotFoundError, ValueError, StoreError."""
    if str(args.paths[0]) == ctml.NAME:
        return ctml.import_(args, settings)
    if args.observations and args.paths[0] != Path("dtc"):
        raise ValueError("--observations is for raw data of a test: fhir-server import dtc FILE --patient ID.")
    if args.paths[0] == Path("dtc"):
        with dtc.kept(args) as (path, told, patient):
            print(told)
            return _summed(asyncio.run(_import(args, settings, [path], Wish(patient))))
    if args.paths[0] != Path("vcf"):
        if args.patient or args.ndjson:
            raise ValueError("--patient and --ndjson are for a VCF: fhir-server import vcf FILE --patient ID.")
        return _summed(asyncio.run(_import(args, settings, list(find(args.paths)))))
    wish = vcf.wish_of(args)
    if wish.genes:
        wish = asyncio.run(vcf.coded(settings, wish))
    with vcf.converted(args, wish) as (path, tally):
        print(vcf.told(tally))
        return 0 if args.ndjson else _summed(asyncio.run(_import(args, settings, [path], wish)))


def _summed(progress: Import) -> int:
    print(summary(progress, progress.refused, "imported"))
    return 1 if progress.refused else 0


async def _import(args: argparse.Namespace, settings: Settings, files: list[Path], wish: Wish | None = None) -> Import:
    workers = args.processes or max(1, (os.cpu_count() or 2) - 1)
    with contextlib.ExitStack() as stack:
        out: BinaryIO = stack.enter_context(args.refused.open("ab")) if args.refused else sys.stderr.buffer

        def refused(one: Refusal) -> None:
            out.write(outcome(str(one.file), one.line, one.issues) + b"\n")
            out.flush()

        async with open_server(settings) as server:
            if wish is not None:
                await vcf.require(server, wish)
            return await bring(server, files, workers, args.again, reporter(), refused, args.by_identifier)
