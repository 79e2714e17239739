"""Index keys per resource: what a write costs. Others collapsed at 250 for each resource; ours stay under 40."""

import itertools
from collections.abc import Iterator
from pathlib import Path

from bench.loading import keys_per_resource
from examples.cohort import generate
from fhir_server.fhir.codec import Resource, decode, encode
from fhir_server.fhir.definitions import load
from fhir_server.search.index import indexer
from fhir_server.store import open_store
from fhir_server.store.seam import Change, Tx

MOST = 40


def resources(bundle: Resource) -> Iterator[Resource]:
    for number, entry in enumerate(bundle["entry"]):
        yield {"id": entry.get("fullUrl", f"n{number}").rpartition(":")[2].rpartition("/")[2], **entry["resource"]}


def cohort() -> list[Resource]:
    return [one for bundle in generate(30) for one in resources(bundle)]


def genomic_observations() -> list[Resource]:
    """What a genomic report of the cohort refers to: variants, regions studied, TMB, MSI; 7 components on average."""
    return [one for one in cohort() if one["resourceType"] == "Observation" and '"GE"' in str(encode(one))]


async def keys(store_url: str, given: list[Resource]) -> float:
    index = indexer(load(), "http://127.0.0.1:8080/fhir")
    named = {(one["resourceType"], one["id"]): one for one in given}

    async def work(tx: Tx) -> None:
        for (type, id), one in named.items():
            await tx.write(Change(type, id, 1, 1_000, "PUT", encode(one), index(one)))

    store = await open_store(store_url)
    await store.transact(work)
    await store.close()
    return keys_per_resource(store_url)[0]


async def test_a_resource_of_a_whole_record_has_few_index_keys(store_url: str) -> None:
    assert 10 < await keys(store_url, cohort()) <= MOST


async def test_a_genomic_observation_has_three_keys_for_each_component(store_url: str) -> None:
    """24 keys and three for each component: the dense ones of the cohort are above the average of published ones."""
    given = genomic_observations()
    components = sum(len(one.get("component", ())) for one in given) / len(given)
    assert components > 7
    assert await keys(store_url, given) <= 24 + 3 * components


async def test_a_published_genomic_observation_has_few_index_keys(store_url: str, shared: Path) -> None:
    files = sorted((shared / "data" / "genomics-reporting-stu3").glob("*.json"))
    given = [one for file in files if (one := decode(file.read_bytes()))["resourceType"] == "Observation"]
    assert len(given) > 50
    assert 10 < await keys(store_url, given) <= MOST


async def test_a_synthea_resource_has_few_index_keys(store_url: str, shared: Path) -> None:
    files = sorted((shared / "data" / "synthea-r4-transactions").glob("*.json"))[:3]
    given = list(itertools.chain.from_iterable(resources(decode(file.read_bytes())) for file in files))
    assert 10 < await keys(store_url, given) <= MOST
