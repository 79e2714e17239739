"""Transaction bundles in any number: Synthea's with fresh ids where the shared data is, else the example cohort."""

import itertools
import json
import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from examples.cohort import generate
from fhir_server.fhir.codec import Resource, decode, encode

SHARED = Path(os.environ.get("FHIR_SERVER_SHARED_DATA", Path(__file__).parents[2] / "shared")) / "data"
UUID = re.compile(rb"\b[0-9a-f]{8}(-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b")
URN = re.compile(rb"urn:uuid:[0-9a-f-]{36}")
VARIANT = "69548-6"  # LOINC: genetic variant assessment


def name() -> str:
    """Which bundles these are."""
    return "Synthea" if _synthea() else "example cohort"


def bundles() -> Iterator[tuple[bytes, int]]:
    """Transaction bundles without end, each with the number of its resources."""
    files = _synthea()
    if not files:
        for bundle in generate(1_000_000):
            yield encode(bundle), len(bundle["entry"])
    originals = [(path.read_bytes(), len(json.loads(path.read_bytes())["entry"])) for path in files]
    for copy in itertools.count():
        prefix = b"%08x" % copy
        for text, count in originals:
            yield UUID.sub(rb"%b\1" % prefix, text), count


def resources() -> Iterator[bytes]:
    """The resources of `bundles` as lines of NDJSON, their ids those of the bundle and their references to them."""
    for text, _ in bundles():
        entries = decode(text)["entry"]
        names = {entry["fullUrl"]: f"{entry['resource']['resourceType']}/{_id(entry)}" for entry in entries}
        for entry in entries:
            line = encode({**entry["resource"], "id": _id(entry)})
            yield URN.sub(partial(_named, names), line) + b"\n"


def _named(names: dict[str, str], found: re.Match[bytes]) -> bytes:
    return names.get(found[0].decode(), found[0].decode()).encode()


def _id(entry: Resource) -> str:
    return str(entry["fullUrl"]).removeprefix("urn:uuid:")


def genomic_observation() -> Resource:
    """The variant Observation of the example cohort with the most components, without its id."""
    entries = itertools.chain.from_iterable(bundle["entry"] for bundle in generate(20))
    resources = [entry["resource"] for entry in entries if entry["resource"]["resourceType"] == "Observation"]
    variants = [one for one in resources if one["code"]["coding"][0]["code"] == VARIANT]
    resource = max(variants, key=lambda one: len(one.get("component", ())))
    return {key: value for key, value in resource.items() if key != "id"}


def _synthea() -> list[Path]:
    return sorted(SHARED.glob("synthea-r4-transactions/*.json"))
