"""HGVS protein and coding-DNA descriptions in one form, so that two spellings of a change are equal. https://hgvs-nomenclature.org/"""

import re
from functools import lru_cache
from typing import NamedTuple

RESIDUES = {
    "Ala": "A", "Arg": "R", "Asn": "N", "Asp": "D", "Cys": "C", "Gln": "Q", "Glu": "E", "Gly": "G", "His": "H",
    "Ile": "I", "Leu": "L", "Lys": "K", "Met": "M", "Phe": "F", "Pro": "P", "Ser": "S", "Thr": "T", "Trp": "W",
    "Tyr": "Y", "Val": "V", "Sec": "U", "Pyl": "O", "Ter": "*",
}  # fmt: skip

_ACCESSION = r"(?:[NX][MPRCGW]_\d+|LRG_\d+(?:[tp]\d+)?|ENS[A-Z]*[TPG]\d+)"
_WHOLE = re.compile(
    rf"(?:(?P<reference>{_ACCESSION})(?:\.\d+)?(?:\((?P<inner>[A-Za-z0-9-]+)\))?:|(?P<gene>[A-Za-z][A-Za-z0-9-]*)(?::\s*|\s+))?"
    r"(?P<kind>[pc])\.(?P<change>\S+)(?:\s+\(p\.[^)]*\)?\))?"
)
_THREE = re.compile("|".join(RESIDUES))
_A = "[ACDEFGHIKLMNOPQRSTUVWY*]"
_NUMBER = "[0-9]{1,6}"
_SPAN = rf"(?P<first>{_A}(?P<start>{_NUMBER}))(?:_(?P<last>{_A}(?P<end>{_NUMBER})))?"
_PROTEIN = (
    ("same", re.compile(rf"(?P<first>{_A}(?P<start>{_NUMBER}))(?P<new>=)")),
    ("sub", re.compile(rf"(?P<first>{_A}(?P<start>{_NUMBER}))(?P<new>{_A})")),
    ("delins", re.compile(rf"{_SPAN}delins(?P<new>{_A}+)")),
    ("del", re.compile(rf"{_SPAN}del(?:{_A}+|\d+)?")),
    ("dup", re.compile(rf"{_SPAN}dup(?:{_A}+|\d+)?")),
    ("ins", re.compile(rf"{_SPAN}ins(?P<new>{_A}+|\(?\d+\)?)")),
    ("fs", re.compile(rf"(?P<first>{_A}(?P<start>{_NUMBER}))(?P<new>{_A})?fs(?P<stop>(?:[*X](?:\d+|\?))?)")),
    ("ext", re.compile(rf"(?P<first>{_A}(?P<start>{_NUMBER}))(?P<new>{_A}?ext[*X]?-?[\d?A-Z*]*)")),
)
_BASE = r"[-*]?\d+(?:[+-]\d+)?"
_CODING = re.compile(rf"{_BASE}(?:_{_BASE})?(?:[ACGT]>[ACGT]|(?:delins|del|dup|ins|inv)[ACGTN\d]*)")
_LOST_BASES = re.compile(r"(?<=\d)(del|dup)[ACGTN\d]+$")


class Variant(NamedTuple):
    """A change at protein (`p`) or coding DNA (`c`) level.

    `change` is canonical: one-letter residues, no brackets, no listing of what was deleted or duplicated. `reference`
    is the accession without its version and `gene` the symbol, None where the text gives none. `start` and `end` are
    the first and last residue, 0 at DNA level; `edit` is sub, same (`V600=`), del, delins, dup, ins, fs, ext, or `c`.
    """

    kind: str
    change: str
    reference: str | None
    gene: str | None
    edit: str
    start: int
    end: int


@lru_cache(maxsize=65_536)
def parse(text: str) -> Variant | None:
    """Read `p.V600E`, `p.(Val600Glu)`, `NP_004324.2:p.Val600Glu`, `BRAF p.V600E`, `NM_004333.4(BRAF):c.1799T>A`; None
    for what is not one certain change (`p.?`, `p.=`, uncertain positions, several changes)."""
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        return None
    change = found["change"]
    if change.startswith("(") and change.endswith(")"):
        change = change[1:-1]
    gene = found["inner"] or found["gene"]
    if found["kind"] == "c":
        if not _CODING.fullmatch(change):
            return None
        return Variant("c", _LOST_BASES.sub(r"\1", change), found["reference"], gene, "c", 0, 0)
    protein = _protein(change)
    return protein and protein._replace(reference=found["reference"], gene=gene)


def _protein(text: str) -> Variant | None:
    change = _THREE.sub(lambda residue: RESIDUES[residue[0]], text)
    if change[-1:] == "X" and change[:-1][-1:].isdigit():
        change = change[:-1] + "*"  # R213X: the stop of older reports
    for edit, form in _PROTEIN:
        found = form.fullmatch(change)
        if found is None:
            continue
        parts = found.groupdict()
        if edit == "sub" and parts["first"][0] == parts["new"]:
            edit, parts["new"] = "same", "="
        where = parts["first"] + (f"_{parts['last']}" if parts.get("last") else "")
        start = int(parts["start"])
        return Variant("p", _canonical(edit, where, parts), None, None, edit, start, int(parts.get("end") or start))
    return None


def _canonical(edit: str, where: str, parts: dict[str, str | None]) -> str:
    new = parts.get("new") or ""
    if edit in ("sub", "same", "ext"):
        return where + new
    if edit == "fs":
        return f"{where}{new}fs{(parts['stop'] or '').replace('X', '*')}"
    return where + edit + (new.strip("()") if edit in ("ins", "delins") else "")


def same_change(required: Variant, found: Variant) -> bool:
    """Whether a found change is the required one; a frameshift required in short form (`R97fs`) accepts any end."""
    if required.kind != found.kind:
        return False
    if required.edit == found.edit == "fs" and required.change == f"{required.change[:1]}{required.start}fs":
        return required.change[:-2] == f"{found.change[:1]}{found.start}"
    return required.change == found.change
