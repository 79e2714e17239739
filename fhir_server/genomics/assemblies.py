"""The chromosomes of GRCh37 and GRCh38 by RefSeq accession. https://www.ncbi.nlm.nih.gov/grc/human/data"""

import re
from collections.abc import Mapping

GRCH37, GRCH38 = "GRCh37", "GRCh38"
LOINC_CODES: Mapping[str, str] = {GRCH37: "LA14029-5", GRCH38: "LA26806-2"}  # answer list LL1040-6

NAMES = (*map(str, range(1, 23)), "X", "Y")
_VERSIONS = {
    GRCH37: (10, 11, 11, 11, 9, 11, 13, 10, 11, 10, 9, 11, 10, 8, 9, 9, 10, 9, 9, 10, 8, 10, 10, 9),
    GRCH38: (11, 12, 12, 12, 10, 12, 14, 11, 12, 11, 10, 12, 11, 9, 10, 10, 11, 10, 10, 11, 9, 11, 11, 10),
}
MITOCHONDRION = "NC_012920.1"  # the same sequence in both
_ACCESSIONS: Mapping[tuple[str, str], str] = {
    **{
        (assembly, name): f"NC_{number:06}.{version}"
        for assembly, versions in _VERSIONS.items()
        for number, (name, version) in enumerate(zip(NAMES, versions, strict=True), 1)
    },
    (GRCH37, "MT"): MITOCHONDRION,
    (GRCH38, "MT"): MITOCHONDRION,
}
_CHROMOSOMES: Mapping[str, tuple[str, str]] = {
    accession: place for place, accession in _ACCESSIONS.items() if accession != MITOCHONDRION
}
_NAME = re.compile(r"(?:chromosome|chr)?[ _-]?(\d{1,2}|[xy]|mt?)", re.IGNORECASE | re.ASCII)
_ANSWER = re.compile(r"LA(21\d{3})-\d", re.ASCII)  # LOINC's answer list LL2938-0: LA21254-x is chromosome 1


def is_chromosome(accession: str) -> bool:
    """Whether this is a chromosome of one of the two assemblies, version and all."""
    return accession in _CHROMOSOMES or accession == MITOCHONDRION


def assembly_of(accession: str) -> str:
    """The assembly of a chromosome; "" for the mitochondrion, which both share, and for what is no chromosome."""
    return _CHROMOSOMES.get(accession, ("", ""))[0]


def chromosome_of(accession: str) -> str:
    """The name of a chromosome (`1` to `22`, `X`, `Y`, `MT`); "" for what is none."""
    return "MT" if accession == MITOCHONDRION else _CHROMOSOMES.get(accession, ("", ""))[1]


def accession_of(assembly: str, chromosome: str) -> str:
    """The accession of a chromosome; "" for what is none."""
    return _ACCESSIONS.get((assembly, chromosome), "")


def other(accession: str) -> str:
    """The same chromosome in the other assembly; "" where there is no other."""
    assembly, name = _CHROMOSOMES.get(accession, ("", ""))
    return accession_of(GRCH38 if assembly == GRCH37 else GRCH37, name) if assembly else ""


def assembly_named(text: str) -> str:
    """The assembly that a code or text of LOINC 62374-4 names; "" if neither of the two."""
    folded = text.lower()
    for assembly, code in LOINC_CODES.items():
        if text == code or assembly.lower() in folded:
            return assembly
    return {"hg19": GRCH37, "hg38": GRCH38}.get(folded, "")


def chromosome_named(text: str) -> str:
    """The chromosome that a code or text of LOINC 48000-4 names; "" if none."""
    answer = _ANSWER.fullmatch(text)
    if answer:
        number = int(answer[1]) - 21254
        return NAMES[number] if 0 <= number < len(NAMES) else ""
    found = _NAME.fullmatch(text.strip())
    name = found[1].upper() if found else ""
    return "MT" if name in ("M", "MT") else name if name in NAMES else ""
