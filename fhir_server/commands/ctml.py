"""`fhir-server import ctml` and `fhir-server export ctml`: MatchMiner's trials in and out. See docs/ctml.md"""

import argparse
import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fhir_server.app import open_server
from fhir_server.fhir.outcome import FhirError
from fhir_server.matching.ctml.bring import bring, documents
from fhir_server.matching.ctml.files import read, written
from fhir_server.matching.ctml.words import Unmapped
from fhir_server.settings import Settings

NAME = "ctml"
SUFFIXES = (".json", ".ndjson", ".yaml", ".yml")


def import_(args: argparse.Namespace, settings: Settings) -> int:
    """Import the files after the word ctml; 1 if a document was refused. Raises FileNotFoundError, StoreError."""
    paths = list(_files(args.paths[1:]))
    if not paths:
        raise ValueError("import ctml takes files or folders of .json, .ndjson, .yaml and .yml.")
    return asyncio.run(_import(paths, settings))


def _files(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"There is no file {path}.")


async def _import(paths: list[Path], settings: Settings) -> int:
    refused = imported = groups = 0
    async with open_server(settings) as server:
        for path in paths:
            try:
                found: list[Any] = read(path)
            except ValueError as error:
                print(f"refused: {error}", file=sys.stderr)
                refused += 1
                continue
            for number, document in enumerate(found, 1):
                place = f"{path}" if len(found) == 1 else f"{path} document {number}"
                try:
                    brought = await bring(server, document)
                except (ValueError, FhirError) as error:
                    for line in _reasons(error):
                        print(f"refused: {place}: {line}", file=sys.stderr)
                    refused += 1
                    continue
                for warning in dict.fromkeys(brought.warnings):
                    print(f"to mend: {place}: {warning}", file=sys.stderr)
                print(f"{place}: ResearchStudy/{brought.study}, {brought.groups} Groups")
                imported += 1
                groups += brought.groups
    print(f"{imported:,} trials with {groups:,} Groups imported, {refused:,} refused")
    return 1 if refused else 0


def _reasons(error: Exception) -> list[str]:
    if isinstance(error, FhirError):
        return [issue.diagnostics for issue in error.issues]
    return str(error).splitlines()


def export(args: argparse.Namespace, settings: Settings) -> int:
    """Write a document for each study; 1 if CTML cannot say one. Raises StoreError, OSError."""
    return asyncio.run(_export(args, settings))


async def _export(args: argparse.Namespace, settings: Settings) -> int:
    args.out.mkdir(parents=True, exist_ok=True)
    count = refused = 0
    missing = set(args.study)
    async with open_server(settings) as server:
        async for id, document in documents(server, tuple(args.study)):
            missing.discard(id)
            if isinstance(document, Unmapped):
                print(f"refused: ResearchStudy/{id}: {document}", file=sys.stderr)
                refused += 1
                continue
            path = args.out / f"{id}.{'yaml' if args.yaml else 'json'}"
            path.write_bytes(written(document, args.yaml))
            count += 1
    for id in sorted(missing):
        print(f"refused: there is no ResearchStudy/{id}", file=sys.stderr)
    print(f"{count:,} trials in {args.out}, {refused + len(missing):,} refused")
    return 1 if refused or missing else 0
