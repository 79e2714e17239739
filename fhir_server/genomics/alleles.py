"""Alleles written as SPDI or HGVS, and when two of them are the same. https://www.ncbi.nlm.nih.gov/variation/notation/

An allele is a stretch of a sequence and what stands there instead. The key of one is `start:length:inserted`: what was
deleted follows from the sequence, so it need not be known. An insertion or deletion within a repeat can be placed at
several positions: `keys` gives all of them that the known bases allow, which are those of the deleted allele itself
and, where a reference is at hand, those around it (the "fully justified" form of NCBI's algorithm covers the same).
Positions count from 0, before the base.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

ACCESSION = re.compile(
    r"(?:[A-Z]{2}_\d{1,12}|[A-Z]{1,2}\d{5,8}|LRG_\d{1,6}(?:[tp]\d{1,3})?|ENS[A-Z]{0,6}[GTP]\d{11})(?:\.\d{1,3})?",
    re.ASCII,
)
_SPDI = re.compile(
    rf"(?P<on>{ACCESSION.pattern}):(?P<at>\d{{1,10}}):(?P<del>\d{{1,9}}|[ACGTUN]*):(?P<ins>[ACGTUN]*)", re.ASCII
)
_HGVS = re.compile(
    rf"(?P<on>{ACCESSION.pattern})(?:\([A-Za-z0-9_.-]+\))?:(?P<kind>[gmocnrp])\.(?P<change>\S{{1,2000}})", re.ASCII
)
_CHANGE = re.compile(
    r"(?P<a>[1-9]\d{0,9})(?:_(?P<b>[1-9]\d{0,9}))?"
    r"(?:(?P<ref>[ACGTN]*)(?:>(?P<alt>[ACGTN]+)|(?P<same>=))"
    r"|del(?P<del>[ACGTN]*|\d{1,9})(?:ins(?P<delins>[ACGTN]+))?|dup(?P<dup>[ACGTN]*|\d{1,9})|inv(?P<inv>[ACGTN]*|\d{1,9})"
    r"|ins(?P<ins>[ACGTN]+))",
    re.ASCII,
)
_PROTEIN = re.compile(r"\(p\.\S+\)$", re.ASCII)  # NM_000251.3(MSH2):c.1832del (p.Val611fs)
_COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
LONGEST = 10_000  # bases that an allele may say, or a reference tell of it
MOST = 2000  # placements of an allele

Bases = Callable[[str, int, int], str]  # accession, start, end -> the bases there: "" where they are not known


class Allele(NamedTuple):
    """`length` bases from `start` of the sequence `accession`, and what replaces them.

    `deleted` and `inserted` are None where only the reference can tell; `how` then says what makes the inserted:
    "dup" or "inv" of the stretch."""

    accession: str
    start: int
    length: int
    deleted: str | None
    inserted: str | None
    how: str = ""

    @property
    def changes(self) -> bool:
        """Whether it says anything but that the sequence is as the reference has it."""
        return self.how != "same" and (self.deleted is None or self.deleted != self.inserted)

    @property
    def key(self) -> str:
        """What equal alleles have in common, once placed alike."""
        return f"{self.start}:{self.length}:{self.inserted}"


class Mismatch(ValueError):
    """An allele says other bases than the reference has; the message names both."""


def parse(text: str) -> Allele | None:
    """Read SPDI, or HGVS on a genomic sequence; None for what is neither, or stands on a transcript or protein."""
    text = text.strip()
    if len(text) > 2 * LONGEST:
        return None
    spdi = _SPDI.fullmatch(text.upper()) if text.count(":") == 3 else None
    if spdi:
        deleted = None if spdi["del"].isdigit() else _dna(spdi["del"])
        length = int(spdi["del"]) if deleted is None else len(deleted)
        return Allele(spdi["on"], int(spdi["at"]), length, "" if length == 0 else deleted, _dna(spdi["ins"]))
    hgvs = _HGVS.fullmatch(text)
    if hgvs is None or hgvs["kind"] not in "gm":
        return None
    return _change(hgvs["on"], hgvs["change"])


def spelled(text: str) -> str:
    """HGVS of any kind on a named sequence, as one would compare it: no spaces, no gene and no protein change in
    brackets; "" for other texts."""
    found = _HGVS.fullmatch(_PROTEIN.sub("", "".join(text.split())))
    return f"{found['on']}:{found['kind']}.{found['change']}" if found else ""


def replaced(accession: str, start: int, ref: str, alt: str) -> Allele | None:
    """The allele that VCF-like columns name; `-` and `.` stand for nothing. None where they are no bases."""
    deleted, inserted = ("" if text in ("-", ".") else text.upper() for text in (ref, alt))
    if not re.fullmatch(r"[ACGTUN]*", deleted) or not re.fullmatch(r"[ACGTUN]*", inserted) or start < 0:
        return None
    return Allele(accession, start, len(deleted), _dna(deleted), _dna(inserted))


def _dna(text: str) -> str:
    return text.replace("U", "T")


def _change(accession: str, text: str) -> Allele | None:
    found = _CHANGE.fullmatch(text)
    if found is None:
        return None
    first, last = int(found["a"]), int(found["b"] or found["a"])
    if last < first:
        return None
    start, length = first - 1, last - first + 1
    if found["ins"] is not None:
        return Allele(accession, first, 0, "", found["ins"]) if length == 2 else None
    told = next((found[name] for name in ("ref", "del", "dup", "inv") if found[name]), "")
    if told.isdigit():
        told, length = "", int(told) if found["b"] is None else length
    if told and len(told) != length:
        if found["b"] is not None:
            return None  # it says two lengths
        length = len(told)
    deleted = told or None
    if found["alt"] is not None:
        return Allele(accession, start, length, deleted, found["alt"]) if deleted else None
    if found["same"]:
        return Allele(accession, start, length, deleted, deleted, "" if deleted else "same")
    if found["del"] is not None:
        return Allele(accession, start, length, deleted, found["delins"] or "")
    how = "dup" if found["dup"] is not None else "inv"
    return Allele(accession, start, length, deleted, _made(deleted, how) if deleted else None, how)


def _made(deleted: str, how: str) -> str:
    if how == "inv":
        return deleted.translate(_COMPLEMENT)[::-1]
    return deleted * 2 if how == "dup" else deleted


def keys(allele: Allele, reference: Bases | None = None, most: int = MOST) -> tuple[str, ...]:
    """The keys of all placements of an allele, at most `most`, the leftmost first; none if only the reference knows
    what is inserted. Raises Mismatch where it says other bases than the reference has, or goes beyond its end."""
    whole = _completed(allele, reference)
    if whole.inserted is None:
        return ()
    least = trimmed(whole)
    if whole.deleted == whole.inserted or (least.length and least.inserted):
        return (least.key,)

    def base(at: int) -> str:
        inside = at - whole.start
        if whole.deleted is not None and 0 <= inside < whole.length:
            return whole.deleted[inside]
        return window(at)

    window = _window(allele.accession, reference)
    return tuple(dict.fromkeys(_rolled(least, base, most)))


def trimmed(allele: Allele) -> Allele:
    """The allele without the bases that both sides end, then begin with; one that changes nothing stays whole."""
    deleted, inserted = allele.deleted, allele.inserted
    if not deleted or not inserted or deleted == inserted:
        return allele
    end = 0
    while end < min(len(deleted), len(inserted)) and deleted[-1 - end] == inserted[-1 - end]:
        end += 1
    deleted, inserted = deleted[: len(deleted) - end], inserted[: len(inserted) - end]
    begin = 0
    while begin < min(len(deleted), len(inserted)) and deleted[begin] == inserted[begin]:
        begin += 1
    return Allele(
        allele.accession, allele.start + begin, len(deleted) - begin, deleted[begin:], inserted[begin:], allele.how
    )


def _completed(allele: Allele, reference: Bases | None) -> Allele:
    """The allele with what the reference says of it."""
    if reference is None or not allele.length or allele.length > LONGEST:
        return allele
    have = reference(allele.accession, allele.start, allele.start + allele.length).upper()
    if not have:
        return allele
    if len(have) < allele.length:
        raise Mismatch(f"{allele.accession} ends before position {allele.start + allele.length}.")
    if allele.deleted is not None and any(
        "N" not in (told, base) and told != base for told, base in zip(allele.deleted, have, strict=True)
    ):
        raise Mismatch(f"{allele.accession} has {have[:40]} at position {allele.start}, not {allele.deleted[:40]}.")
    inserted = _made(have, allele.how) if allele.inserted is None else allele.inserted
    return allele._replace(deleted=have, inserted=inserted)


def _window(accession: str, reference: Bases | None) -> Callable[[int], str]:
    """The base at a position, read by the kilobase; "" where it is not known, or is said to be any."""
    blocks: dict[int, str] = {}

    def base(at: int) -> str:
        if reference is None or at < 0:
            return ""
        block, inside = divmod(at, 1024)
        if block not in blocks:
            blocks[block] = reference(accession, block * 1024, block * 1024 + 1024).upper()
        return blocks[block][inside : inside + 1].replace("N", "")

    return base


def _rolled(least: Allele, base: Callable[[int], str], most: int) -> list[str]:
    """Every placement of a pure insertion or deletion, from the left."""
    start, length, text = least.start, least.length, least.inserted or ""
    left = 0
    most = most if len(text) < 1000 else 1
    while left < most:
        before = base(start - 1)
        if not before or before != (base(start + length - 1) if length else text[-1:]):
            break
        start, text, left = start - 1, text[-1:] + text[:-1], left + 1
    found = [f"{start}:{length}:{text}"]
    while len(found) < most:
        first = base(start) if length else text[:1]
        if not first or first != base(start + length):
            break
        start, text = start + 1, text[1:] + text[:1]
        found.append(f"{start}:{length}:{text}")
    return found
