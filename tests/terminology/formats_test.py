"""Each format, as its publisher writes it, becomes a code system with parents, names and what is inactive."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from fhir_server.recent import Recent
from fhir_server.store.seam import Store
from fhir_server.terminology.add import add
from fhir_server.terminology.concepts import Names, is_inactive, parents
from fhir_server.terminology.formats import FORMATS
from fhir_server.terminology.formats.content import Content
from fhir_server.terminology.select import subsumed
from fhir_server.terminology.system import System, imported

NCIT = """C3262\t<http://x#C3262>\t\tNeoplasm|Tumor\tA growth\tNeoplasm\t\tNeoplastic Process\tNCIt Neoplasm Core
C2916\t<http://x#C2916>\tC3262\tCarcinoma\t\t\t\tNeoplastic Process\tNCIt Neoplasm Core|CTRP
C9999\t<http://x#C9999>\tC3262|C2916\tOld \"thing\"\t\t\tRetired_Concept\tNeoplastic Process\t
"""
HGNC = """hgnc_id\tsymbol\tname\tstatus\talias_symbol\tprev_symbol\trefseq_accession
HGNC:1100\tBRCA1\tBRCA1 DNA repair associated\tApproved\t"RNF53|BRCC1"\t\tNM_007294
HGNC:5\tA1BG\talpha-1-B glycoprotein\tEntry Withdrawn\t\t\t
"""
LOINC = """"LOINC_NUM","COMPONENT","STATUS","CLASS","LONG_COMMON_NAME","SHORTNAME"
"69548-6","Genetic variant assessment","ACTIVE","MOLPATH","Genetic variant assessment","Genetic var assess"
"1-8","Acyclovir","DEPRECATED","ABXBACT","Acyclovir, old",""
"""
LOINC_TREE = """"PATH_TO_ROOT","SEQUENCE","IMMEDIATE_PARENT","CODE","CODE_TEXT"
"","1","","LP432695-7","{component}"
"LP432695-7","1","LP432695-7","69548-6","Genetic variant assessment"
"""
ICD = "".join(
    f"{number:05} {code:7} {flag} {short:60} {name}\n"
    for number, (code, flag, short, name) in enumerate(
        (
            ("C34", 0, "Malignant neoplasm of bronchus and lung", "Malignant neoplasm of bronchus and lung"),
            ("C349", 0, "Malignant neoplasm of unsp part", "Malignant neoplasm of unspecified part"),
            ("C3490", 1, "Malignant neoplasm of unsp side", "Malignant neoplasm of unspecified side"),
        ),
        1,
    )
)
CSV = """code,display,parent,inactive,kind
a,Alpha,,,first
b,"Beta, the second",a,,second
c,,a|b,true,
"""
CONCEPT = "id\teffectiveTime\tactive\tmoduleId\tdefinitionStatusId\n" \
          "138875005\t20020131\t1\t900000000000207008\t900000000000074008\n" \
          "64572001\t20020131\t1\t900000000000207008\t900000000000074008\n" \
          "1\t20020131\t0\t900000000000207008\t900000000000074008\n"  # fmt: skip
DESCRIPTION = "id\teffectiveTime\tactive\tmoduleId\tconceptId\tlanguageCode\ttypeId\tterm\tcaseSignificanceId\n" \
              "11\t20020131\t1\t9\t64572001\ten\t900000000000003001\tDisease (disorder)\t9\n" \
              "12\t20020131\t1\t9\t64572001\ten\t900000000000013009\tDisease\t9\n" \
              "13\t20020131\t1\t9\t64572001\ten\t900000000000013009\tDisorder\t9\n" \
              "14\t20020131\t0\t9\t64572001\ten\t900000000000013009\tGone\t9\n"  # fmt: skip
RELATIONSHIP = "id\teffectiveTime\tactive\tmoduleId\tsourceId\tdestinationId\trelationshipGroup\ttypeId\t" \
               "characteristicTypeId\tmodifierId\n" \
               "21\t20020131\t1\t9\t64572001\t138875005\t0\t116680003\t900000000000011006\t9\n" \
               "22\t20020131\t0\t9\t138875005\t64572001\t0\t116680003\t900000000000011006\t9\n"  # fmt: skip
LANGUAGE = "id\teffectiveTime\tactive\tmoduleId\trefsetId\treferencedComponentId\tacceptabilityId\n" \
           "x\t20020131\t1\t9\t9\t13\t900000000000548007\n"  # fmt: skip
ONCOTREE = {
    "TISSUE": {"code": "TISSUE", "name": "Tissue", "parent": None, "externalReferences": {}, "children": {
        "LUNG": {"code": "LUNG", "name": "Lung", "parent": "TISSUE", "mainType": "Lung Cancer", "level": 1,
                 "externalReferences": {"NCI": ["C12468"], "UMLS": ["C0024109"]}, "history": ["OLDLUNG"],
                 "precursors": ["SPLIT"], "revocations": ["TISSUE"], "children": {}}}}}  # fmt: skip


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def concepts(content: Content) -> dict[str, dict[str, Any]]:
    first, second = list(content.concepts()), list(content.concepts())
    assert first == second  # it is read twice
    return {concept["code"]: dict(concept) for concept in first}


def above(found: dict[str, dict[str, Any]], code: str) -> tuple[str, ...]:
    return parents(found[code], Names())


def inactive(found: dict[str, dict[str, Any]]) -> list[str]:
    return [code for code, concept in found.items() if is_inactive(concept, Names())]


def test_ncit(tmp_path: Path) -> None:
    content = FORMATS["ncit"](write(tmp_path, "Thesaurus.txt", NCIT), "25.01d", "")
    found = concepts(content)
    assert content.about["version"] == "25.01d"
    assert (above(found, "C9999"), inactive(found)) == (("C3262", "C2916"), ["C9999"])
    assert found["C3262"]["designation"] == [{"value": "Tumor"}]
    assert found["C2916"]["display"] == "Carcinoma"
    assert {"code": "subset", "valueString": "CTRP"} in found["C2916"]["property"]
    with zipfile.ZipFile(tmp_path / "Thesaurus.FLAT.zip", "w") as archive:
        archive.writestr("Thesaurus.txt", NCIT.replace("<http://x#", "<http://y#"))
    assert concepts(FORMATS["ncit"](tmp_path / "Thesaurus.FLAT.zip", "25.01d", "")) == found
    with pytest.raises(ValueError, match="--version"):
        FORMATS["ncit"](tmp_path / "Thesaurus.txt", "", "")
    with pytest.raises(ValueError, match="line 1 has 3 cells"):
        concepts(FORMATS["ncit"](write(tmp_path, "thesaurus2.txt", "C1\tx\n"), "1", ""))


def test_hgnc(tmp_path: Path) -> None:
    path = tmp_path / "hgnc_complete_set.txt.gz"
    path.write_bytes(gzip.compress(HGNC.encode()))
    found = concepts(FORMATS["hgnc"](path, "2025-10", ""))
    assert found["HGNC:1100"]["display"] == "BRCA1"
    assert [one["value"] for one in found["HGNC:1100"]["designation"]] == ["RNF53", "BRCC1"]
    assert found["HGNC:1100"]["property"] == [{"code": "reference-sequence", "valueString": "NM_007294"}]
    assert inactive(found) == ["HGNC:5"]


def test_loinc(tmp_path: Path) -> None:
    write(tmp_path, "r/LoincTable/Loinc.csv", LOINC)
    alone = concepts(FORMATS["loinc"](tmp_path / "r/LoincTable/Loinc.csv", "2.80", ""))
    assert above(alone, "69548-6") == ()
    write(tmp_path, "r/AccessoryFiles/ComponentHierarchyBySystem/ComponentHierarchyBySystem.csv", LOINC_TREE)
    content = FORMATS["loinc"](tmp_path / "r", "2.80", "")
    found = concepts(content)
    assert (above(found, "69548-6"), inactive(found)) == (("LP432695-7",), ["1-8"])
    assert found["LP432695-7"]["display"] == "{component}"
    assert "Regenstrief" in content.about["copyright"]


def test_icd_10_cm(tmp_path: Path) -> None:
    content = FORMATS["icd-10-cm"](write(tmp_path, "icd10cm_order_2026.txt", ICD), "", "")
    found = concepts(content)
    assert content.about["version"] == "2026"
    assert [*found] == ["C34", "C34.9", "C34.90"]
    assert (above(found, "C34.90"), above(found, "C34.9"), above(found, "C34")) == (("C34.9",), ("C34",), ())
    assert {"code": "billable", "valueBoolean": True} in found["C34.90"]["property"]


def test_rf2(tmp_path: Path) -> None:
    terms = tmp_path / "Snapshot/Terminology"
    write(terms, "sct2_Concept_Snapshot_INT_20250101.txt", CONCEPT)
    write(terms, "sct2_Relationship_Snapshot_INT_20250101.txt", RELATIONSHIP)
    write(terms, "sct2_Description_Snapshot-en_INT_20250101.txt", DESCRIPTION)
    write(tmp_path, "Snapshot/Refset/Language/der2_cRefset_LanguageSnapshot-en_INT_20250101.txt", LANGUAGE)
    content = FORMATS["rf2"](tmp_path, "", "")
    found = concepts(content)
    assert content.about["version"] == "http://snomed.info/sct/900000000000207008/version/20250101"
    assert found["64572001"]["display"] == "Disorder"
    assert [one["value"] for one in found["64572001"]["designation"]] == ["Disorder", "Disease (disorder)", "Disease"]
    assert (above(found, "64572001"), above(found, "138875005")) == (("138875005",), ())
    assert inactive(found) == ["1"]
    (terms / "sct2_Relationship_Snapshot_INT_20250101.txt").unlink()
    with pytest.raises(FileNotFoundError, match="Relationship"):
        FORMATS["rf2"](tmp_path, "", "")


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    found = concepts(FORMATS["parents"](write(tmp_path, "own.csv", CSV), "1", "urn:own"))
    assert (above(found, "c"), inactive(found)) == (("a", "b"), ["c"])
    assert (found["b"]["display"], found["c"]["display"]) == ("Beta, the second", "c")
    assert {"code": "kind", "valueString": "second"} in found["b"]["property"]
    with pytest.raises(ValueError, match="--system"):
        FORMATS["parents"](tmp_path / "own.csv", "1", "")


def test_a_resource(tmp_path: Path) -> None:
    resource = {"resourceType": "CodeSystem", "id": "x", "url": "urn:x", "version": "3", "status": "active",
                "content": "complete", "concept": [{"code": "a", "concept": [{"code": "b"}]}]}  # fmt: skip
    content = FORMATS["fhir"](write(tmp_path, "x.json", resource), "", "")
    assert above(concepts(content), "b") == ("a",)
    assert "id" not in content.about
    with pytest.raises(ValueError, match="no CodeSystem"):
        FORMATS["fhir"](write(tmp_path, "p.json", {"resourceType": "Patient"}), "", "")


def test_oncotree(tmp_path: Path) -> None:
    content = FORMATS["oncotree"](write(tmp_path, "oncotree_2025_10_03.json", ONCOTREE), "", "")
    found = concepts(content)
    assert content.about["version"] == "2025-10-03"
    assert [*found] == ["TISSUE", "LUNG", "OLDLUNG", "SPLIT"]
    assert (above(found, "LUNG"), above(found, "OLDLUNG"), above(found, "SPLIT")) == (("TISSUE",), ("LUNG",), ())
    assert inactive(found) == ["OLDLUNG", "SPLIT"]
    former, elsewhere = content.also
    (group,) = former["group"]
    assert {one["code"]: one["target"][0]["equivalence"] for one in group["element"]} == {
        "OLDLUNG": "equivalent", "SPLIT": "inexact",
    }  # fmt: skip
    assert [group["element"][0]["target"][0]["code"] for group in elsewhere["group"]] == ["C12468", "C0024109"]


class Only:
    """A source of one code system."""

    def __init__(self, system: System) -> None:
        self._system = system

    async def value_set(self, url: str) -> None:
        return None

    async def system(self, url: str, version: str = "") -> System | None:
        return self._system if url == self._system.about["url"] else None


async def test_the_published_oncotree_comes_back_as_it_is(store: Store, shared: Path) -> None:
    path = shared / "data/terminology/oncotree_2025_10_03.json"
    content = FORMATS["oncotree"](path, "", "")
    added = await add(store.terms, content)
    again = await add(store.terms, FORMATS["oncotree"](path, "", ""))
    (edition,) = await store.terms.editions()
    assert (again.unchanged, again.concepts) == (True, added.concepts)
    system = imported(store.terms, edition, Recent(100))
    want: dict[str, set[str]] = {}

    def walk(nodes: dict[str, Any], over: set[str]) -> None:
        for node in nodes.values():
            want[node["code"]] = over
            walk(node["children"], {*over, node["code"]})

    walk(json.loads(path.read_text()), set())
    assert len(want) == 898
    assert (added.concepts - added.inactive, added.strange) == (898, 0)
    for code, over in want.items():
        assert await subsumed(Only(system), edition.url, code) == {code, *over}
    assert await subsumed(Only(system), edition.url, "NOSUCH") == {"NOSUCH"}
    assert await subsumed(Only(system), "urn:other", "LUNG") == {"LUNG"}


async def test_a_file_that_is_broken_leaves_nothing(store: Store, tmp_path: Path) -> None:
    for lines in ("code,parent\na,b\nb,a\n", "code\na\na\n", "kode\na\n"):
        with pytest.raises(ValueError, match=r"above itself|comes twice|no code"):
            await add(store.terms, FORMATS["parents"](write(tmp_path, "bad.csv", lines), "1", "urn:own"))
    assert await store.terms.editions() == []


async def test_another_file_of_one_version_replaces_it(store: Store, tmp_path: Path) -> None:
    await add(store.terms, FORMATS["parents"](write(tmp_path, "own.csv", CSV), "1", "urn:own"))
    changed = FORMATS["parents"](write(tmp_path, "own.csv", CSV + "d,Delta,c,,\n"), "1", "urn:own")
    added = await add(store.terms, changed, grace=0)
    assert (added.concepts, added.inactive, added.pairs, added.unchanged) == (4, 1, 6, False)
    assert [edition.size for edition in await store.terms.editions()] == [4]
