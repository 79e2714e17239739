"""Genes go by all their names once HGNC is imported, and tumours by the whole of OncoTree."""

import asyncio
import gc
import json
import weakref
from pathlib import Path

import pytest

from fhir_server.app import open_server
from fhir_server.cli import main
from fhir_server.fhir.codec import decode, encode
from fhir_server.interactions.custom import rewired
from fhir_server.matching.criteria import compile_study
from fhir_server.matching.ctml.words import codes_by_name
from fhir_server.matching.evaluate import evaluate_study
from fhir_server.matching.follow import step
from fhir_server.matching.genes import HGNC, genes_of
from fhir_server.matching.guard import StudyGuard
from fhir_server.matching.hgvs import parse
from fhir_server.matching.reading import facts_of
from fhir_server.settings import Settings
from fhir_server.terminology.add import add
from fhir_server.terminology.codes import Concept, Terminology, build, load, relation
from fhir_server.terminology.formats import FORMATS
from tests.matching import world as w
from tests.matching.evaluate_test import NOW, diagnosis, needs

HEAD = ("hgnc_id", "symbol", "name", "status", "alias_symbol", "prev_symbol", "refseq_accession", "mane_select")
ROWS = [
    ("HGNC:3236", "EGFR", "", "Approved", "ERBB1|HER1", "ERBB", "NM_005228", "ENST00000275493.7|NM_005228.5"),
    ("HGNC:3430", "ERBB2", "", "Approved", "NEU|TWICE|HER1X", "NGL", "NM_004448", ""),
    ("HGNC:10001", "MADEUP1", "", "Approved", "TWICE|EGFR", "OLD1", "NM_990001", ""),
    ("HGNC:10002", "MADEUP2", "", "Entry Withdrawn", "GONE2", "", "", ""),
]


def hgnc(folder: Path) -> Path:
    path = folder / "hgnc_complete_set.txt"
    path.write_text("\n".join("\t".join(row) for row in [HEAD, *ROWS]) + "\n")
    return path


def oncotree(folder: Path) -> Path:
    def node(code: str, name: str, parent: str, *below: dict[str, object]) -> dict[str, object]:
        return {"code": code, "name": name, "parent": parent, "children": {one["code"]: one for one in below}}

    leaf = node("MADEUPLUNG", "Made-up Lung Cancer", "NSCLC")
    lung = node("LUNG", "Lung", "TISSUE", node("NSCLC", "Non-Small Cell Lung Cancer", "LUNG", leaf))
    path = folder / "oncotree_2026_01_01.json"
    path.write_text(json.dumps({"TISSUE": {"code": "TISSUE", "name": "Tissue", "children": {"LUNG": lung}}}))
    return path


def opened(store_url: str) -> Terminology:
    async def run() -> Terminology:
        async with open_server(Settings(store=store_url)) as server:
            return server.terminology

    return asyncio.run(run())


def outcome(terms: Terminology, trait: w.Resource, *record: w.Resource) -> str:
    group = decode(encode(w.group("s-eligibility", trait)))
    study = compile_study(w.study(), 1, {"Group/s-eligibility": (group, 1)}.get, terms)
    assert not study.problems, study.problems
    versioned = [(decode(encode(one)), 1) for one in record]
    person = facts_of(w.patient(), 1, versioned, genes_of(terms), lambda reference: None)
    return evaluate_study(study, person, terms, NOW)[0]


def gene(name: str) -> w.Resource:
    return needs((w.HGNC, name))


def test_what_is_imported_is_known_to_the_matcher(
    store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up = w.condition("d", (w.ONCOTREE, "MADEUPLUNG"))
    before = opened(store_url)
    assert outcome(before, gene("EGFR"), w.variant("v", "ERBB1", "p.L858R")) == "unknown"
    assert outcome(before, diagnosis((w.ONCOTREE, "NSCLC")), made_up) == "unknown"
    for arguments in (["hgnc", str(hgnc(tmp_path)), "--version", "1"], ["oncotree", str(oncotree(tmp_path))]):
        assert main(["terminology", "add", *arguments, "--store", store_url]) == 0, capsys.readouterr().err
    after = opened(store_url)
    assert outcome(after, gene("EGFR"), w.variant("v", "ERBB1", "p.L858R")) == "met"
    assert outcome(after, gene("her1"), w.variant("v", "HGNC:3236", "p.L858R")) == "met"
    assert outcome(after, gene("OLD1"), w.variant("v", "MADEUP1", "p.A1C")) == "met"
    assert outcome(after, needs((w.HGVS, "ERBB1:p.L858R")), w.variant("v", "HGNC:3236", "p.L858R")) == "met"
    assert outcome(after, gene("EGFR"), w.variant("v", None, "NM_005228.5:c.2573T>G")) == "met"
    assert outcome(after, gene("MADEUP1"), w.variant("v", None, "NM_990001.3:c.1A>G")) == "met"
    assert outcome(after, diagnosis((w.ONCOTREE, "NSCLC")), made_up) == "met"
    shipped = w.condition("d", (w.SNOMED, "254626006"))
    assert outcome(after, diagnosis((w.ONCOTREE, "NSCLC")), shipped) == "met", "what ships is known beside it"
    known = parse("NP_005219.2:p.Leu858Arg")
    assert known is not None
    assert genes_of(after).of_variant(known) == {"HGNC:3236"}, "as are the sequences that ship"
    assert main(["terminology", "remove", w.HGNC, "--store", store_url]) == 0
    assert genes_of(opened(store_url)).named([Concept(w.HGNC, "ERBB1")]) == {"ERBB1"}


async def test_what_is_imported_is_known_to_processes_that_run(store_url: str, tmp_path: Path) -> None:
    """To consent and to what every transaction is held to as well; what was judged by other codes is judged anew."""
    async with open_server(Settings(store=store_url, auth="open")) as server:
        while await step(server):
            pass
        assert await rewired(server) is server
        genes = hgnc(tmp_path)
        await add(server.store.terms, FORMATS["hgnc"](genes, "1", ""), grace=0)
        one, other = await asyncio.gather(rewired(server), rewired(server))
        assert one.terminology is other.terminology is not server.terminology
        assert one.consents.terminology is one.terminology
        (guard,) = [guard for guard in one.guards if isinstance(guard, StudyGuard)]
        assert guard.terminology is one.terminology
        assert genes_of(server.terminology).named([Concept(w.HGNC, "ERBB1")]) == {"ERBB1"}
        assert genes_of(one.terminology).named([Concept(w.HGNC, "ERBB1")]) == {"HGNC:3236"}
        assert await rewired(one) is one
        assert await step(one), "all patients are judged anew"
        while await step(one):
            pass
        assert not await step(one)
        (edition,) = await server.store.terms.editions(w.HGNC)
        await server.store.terms.remove(edition.number)
        assert (await rewired(one)).editions == ()


def test_a_name_counts_only_where_it_is_certain() -> None:
    concepts = [
        {"code": row[0], "display": row[1],
         "designation": [{"value": one} for one in f"{row[4]}|{row[5]}".split("|") if one],
         "property": [{"code": "inactive", "valueBoolean": True}] if row[3] == "Entry Withdrawn" else []}
        for row in ROWS
    ]  # fmt: skip
    genes = genes_of(build([{"resourceType": "CodeSystem", "url": w.HGNC, "concept": concepts}]))

    def named(name: str) -> set[str]:
        return set(genes.named([Concept(w.HGNC, name)]))

    assert named("EGFR") == {"HGNC:3236"}, "a symbol is no alias of another gene"
    assert named("ERBB1") == named("erbb") == {"HGNC:3236"}
    assert named("TWICE") == {"TWICE"}, "two genes were called so"
    assert named("GONE2") == {"GONE2"}, "the entry was withdrawn"
    assert genes.symbol("HGNC:3236") == "EGFR"


def test_properties_of_two_files_are_joined() -> None:
    def of(*references: str) -> w.Resource:
        found = [{"code": "reference-sequence", "valueString": one} for one in references]
        return {
            "resourceType": "CodeSystem",
            "url": w.HGNC,
            "concept": [{"code": "HGNC:1", "display": "A", "property": found}],
        }

    terms = build([of("NM_1", "NP_1"), of("NM_1", "NM_2")])
    assert terms.property(Concept(w.HGNC, "HGNC:1"), "reference-sequence") == ("NM_1", "NP_1", "NM_2")
    assert load().property(Concept(w.HGNC, "HGNC:3236"), "reference-sequence")


def test_a_terminology_that_was_loaded_anew_does_not_stay_in_memory() -> None:
    class Displays(dict[Concept, str]):
        """To which there can be a weak reference."""

    def used(number: int) -> weakref.ref[Displays]:
        displays = Displays({Concept(HGNC, "HGNC:1"): f"G{number}", Concept("urn:x", "c"): "Name"})
        terminology = Terminology(displays=displays, loaded={HGNC: frozenset({"HGNC:1"})})
        assert genes_of(terminology).by_symbol == {f"G{number}": "HGNC:1"}
        assert codes_by_name(terminology, "urn:x") == {"name": "c", "c": "c"}
        assert codes_by_name(terminology, "urn:y") == {}
        for asked in ("c", "d", "c"):
            told = relation(terminology, Concept("urn:x", "c"), Concept("urn:x", asked))
            assert told == ("is" if asked == "c" else None)
        return weakref.ref(displays)

    held = [used(number) for number in range(5)]
    gc.collect()
    assert sum(one() is not None for one in held) <= 2
