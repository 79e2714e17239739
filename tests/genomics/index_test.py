"""What the operations ask is found by an index, on both stores, and so is a gene with its protein change."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.genomics.variant import Interval
from fhir_server.operations import reindex
from fhir_server.operations.genomics.found import coded, of_patient
from fhir_server.search.genomic import SIMPLE, WIDEST, covering, entries, naming, overlapping
from fhir_server.search.predicate import And, Indexed, matches
from fhir_server.store.seam import Query
from tests.client import Client
from tests.genomics import world as w

PROFILES = Path(__file__).parents[2] / "profiles" / "participation"
CHR7, CHR13 = "NC_000007.14", "NC_000013.11"


@pytest.fixture
def many(client: Client, monkeypatch: pytest.MonkeyPatch) -> Client:
    """300 variants of 30 patients, a third of them structural, after the search parameters of our own were added."""
    monkeypatch.setattr(reindex, "LOOK", 0.0)
    monkeypatch.setattr("fhir_server.rest.endpoint.LOOK", -1.0)
    for name in ("gene", "protein-change", "gene-protein-change"):
        parameter = json.loads((PROFILES / f"SearchParameter-observation-{name}.json").read_text())
        assert client("PUT", f"SearchParameter/{parameter['id']}", parameter).status_code == 201
    assert client("POST", "Observation/$reindex").status_code == 200
    made = [w.patient(f"p{number}") for number in range(30)]
    for number in range(200):
        gene = w.coded("48018-6", "http://www.genenames.org", f"HGNC:{number % 20}")
        change = w.coded("48005-3", w.HGVS, f"p.Val{number}Glu")
        made.append(w.simple(f"v{number}", f"p{number % 30}", f"{CHR7}:{1000 + 10 * number}:A:T", gene, change))
    for number in range(100):
        ends = w.ends("81302-2", 1000 * number, 1000 * number + 500)
        made.append(w.structural(f"s{number}", f"p{number % 30}", CHR13, ends))
    w.fill(client, *made)
    return client


def leading(plan: dict[str, Any]) -> str:
    """What a store begins with: the index that MongoDB reads, or the first table that SQLite takes rows from."""
    if "sqlite" in plan:
        steps = [step for step in plan["sqlite"] if step.startswith(("SEARCH x", "SCAN x", "SCAN r"))]
        return str(steps[0])
    stage = plan["plan"]["winningPlan"]
    while "inputStage" in stage:
        stage = stage["inputStage"]
    return f"{stage['stage']} {stage.get('indexName')}"


@given(*[st.integers(0, 12)] * 4)
def test_overlapping_and_covering_mean_what_bases_say(start: int, length: int, low: int, width: int) -> None:
    """An interval of no bases stands for the one that it begins before, in what is stored and in what is asked."""
    there = set(range(start, start + max(length, 1)))
    wanted = Interval(CHR7, low, low + width)
    asked = set(range(low, low + max(width, 1)))
    entry = (WIDEST, "", CHR7, float(min(there)), float(max(there)))
    row = Indexed("Observation", "1", 0, (entry,))
    assert matches(overlapping(WIDEST, wanted), row, {}) == bool(there & asked)
    assert matches(covering(WIDEST, wanted), row, {}) == (asked <= there)
    assert not matches(overlapping(WIDEST, wanted._replace(accession=CHR13)), row, {})
    ends = w.ends("81301-4", start, start + length)
    (made,) = (one for one in entries(w.structural("v", "p", CHR7, ends)) if one[0] == WIDEST)
    assert made == entry


INDEXED = {
    "an allele": ("(k=?)", "IXSCAN key"),
    "a structural variant": ("(k=? AND low>? AND low<?)", "IXSCAN quantity"),
    "a patient's variants": ("(k=? AND low>? AND low<?)", "IXSCAN compartment"),
    "a gene and its protein change": ("(k=?)", "IXSCAN key"),
}


def test_searches_are_led_by_an_index(many: Client) -> None:
    store = many.app.endpoint.server.store  # type: ignore[union-attr]
    region = Interval(CHR13, 50_100, 50_200)
    asked = {
        "an allele": naming([(CHR7, "2000:1:T")]),
        "a structural variant": overlapping(WIDEST, region),
        "a patient's variants": And(
            (of_patient("p10"), coded("69548-6"), overlapping(SIMPLE, Interval(CHR7, 2000, 2010)))
        ),
    }
    plans = {name: many.run(store.explain(Query(("Observation",), where))) for name, where in asked.items()}
    found = many("GET", "Observation?_explain=true&gene-protein-change=http://www.genenames.org|HGNC:5$"
                 f"{w.HGVS}|p.Val5Glu").json()  # fmt: skip
    told = {one["name"]: one for one in found["parameter"]}
    assert told["rows"]["valueInteger"] == 1
    plans["a gene and its protein change"] = json.loads(told["plan"]["valueString"])
    for name, (sqlite, mongo) in INDEXED.items():
        led = leading(plans[name])
        assert led.endswith(sqlite) or led == mongo, (name, led)
    rows = many.run(store.search(Query(("Observation",), overlapping(WIDEST, region)))).rows
    assert [row.id for row in rows] == ["s50"]
    assert not many.run(store.search(Query(("Observation",), covering(WIDEST, region._replace(end=50_501))))).rows
