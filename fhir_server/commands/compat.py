"""`fhir-server match --ctml-compat`: what MatchMiner would match beside what is found here. See docs/ctml.md"""

import argparse
import sys

from fhir_server.app import open_server
from fhir_server.matching.ctml.compare import compared
from fhir_server.settings import Settings


async def compat(args: argparse.Namespace, settings: Settings) -> int:
    """Print a line for each pair that either reading matches: study, patient, MatchMiner's levels, our outcome; 1 if a
    study cannot be said in CTML."""
    refused = 0
    print("study\tpatient\tmatchminer\toutcome")
    async with open_server(settings) as server:
        async for line in compared(server, args.study):
            if line.problem:
                print(f"not compared: ResearchStudy/{line.study}: {line.problem}", file=sys.stderr)
                refused += 1
            else:
                print(f"{line.study}\t{line.patient}\t{', '.join(line.levels) or '-'}\t{line.outcome}")
    return 1 if refused else 0
