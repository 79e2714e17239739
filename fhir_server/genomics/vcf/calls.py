"""From a record to the variants that a sample has: alleles, zygosity, frequency. https://samtools.github.io/hts-specs/VCFv4.3.pdf"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fhir_server.genomics.vcf.read import Header, Record, contig_name

GERMLINE, SOMATIC = "germline", "somatic"
OTHER_MITOCHONDRION = 16571  # bases of the chrM of UCSC's hg19, which is not the sequence of NC_012920.1
ANY = frozenset({"<*>", "<NON_REF>", "<X>"})  # alternate alleles that stand for any other
STRUCTURAL = ("DEL", "DUP", "INV", "INS", "CNV", "BND", "TRA")
_BASES = re.compile(r"[ACGTN]+", re.ASCII | re.IGNORECASE)
_SYMBOL = re.compile(r"<([A-Za-z0-9_:]+)>", re.ASCII)
_BREAKEND = re.compile(r"[\[\]]")
MOST = 1e12  # of what a number in a file may be: beyond any place or count
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE]-?\d+)?", re.ASCII)


class Variant(NamedTuple):
    """One allele that differs from the reference, as a sample has it. Positions count from 1, both ends included."""

    chromosome: str
    pos: int
    ref: str
    alt: str  # as the file spells it
    ids: tuple[str, ...]
    kind: str = ""  # of STRUCTURAL; "" if REF and ALT say all
    end: int = 0  # of a structural variant
    start_error: tuple[int, int] = (0, 0)  # CIPOS
    end_error: tuple[int, int] = (0, 0)  # CIEND
    state: str = ""  # homozygous, heterozygous, hemizygous, homoplasmic, heteroplasmic
    source: str = ""
    frequency: float | None = None
    reads: int | None = None  # with this allele
    copies: float | None = None
    phase: str = ""  # the phase set in which it is known on which copy of the chromosome it lies
    side: int = 0  # which copy that is


def variants(
    record: Record, header: Header, last: Mapping[str, int], source: str, every_filter: bool, left: Counter[str]
) -> Iterator[Variant]:
    """The variants of a record; `left` counts, by reason, what is none or is left out.

    `last`: the last position of each chromosome. `source`: GERMLINE, SOMATIC or "": as the record says. `every_filter`:
    also what failed the caller's filters."""
    chromosome = chromosome_of(record.chrom, header)
    if not chromosome:
        left["on a contig that is no chromosome of the assembly"] += 1
        return
    if not 1 <= record.pos <= last[chromosome]:
        left["beyond the end of the chromosome"] += 1
        return
    if not every_filter and (record.filters or record.call.get("FT", "PASS") not in ("PASS", ".", "")):
        left["failed a filter of the caller"] += 1
        return
    alleles = re.split(r"[/|]", record.call.get("GT", "."))
    called = [int(one) for one in alleles if one.isdecimal()]
    copies = amount(record.call.get("CN") or record.info.get("CN"))
    if not called and not (copies is not None and record.info.get("SVTYPE") == "CNV"):
        left["not called in this sample"] += 1
        return
    present = sorted({one for one in called if one > 0}) or ([1] if not called else [])
    if not present:
        left["reference in this sample"] += 1
    for number in present:
        if number > len(record.alts):
            left["a genotype names an allele that is not there"] += 1
            continue
        found = _allele(record, chromosome, record.alts[number - 1], copies)
        if isinstance(found, str):
            left[found] += 1
            continue
        origin = source or _origin(record)
        state = "" if origin == SOMATIC or not called else _state(alleles, number, chromosome)
        reads, frequency = _measured(record, header, number)
        phase, side = _phase(record, alleles, number)
        yield found._replace(state=state, source=origin, reads=reads, frequency=frequency, phase=phase, side=side)


def chromosome_of(contig: str, header: Header) -> str:
    """The chromosome of the assembly that a contig is; "" if it is none."""
    chromosome = contig_name(contig)
    return "" if chromosome == "MT" and header.contigs.get(contig) == OTHER_MITOCHONDRION else chromosome


def unnamed(record: Record) -> bool:
    """Whether the sample has an allele of which no variant is made: there is one, and which is not told."""
    called = {int(one) for one in re.split(r"[/|]", record.call.get("GT", ".")) if one.isdecimal()} - {0}
    return any(
        number > len(record.alts)
        # `*`: the base is not there, as the deletion that begins before it tells.
        or (record.alts[number - 1] != "*" and isinstance(_allele(record, "", record.alts[number - 1], None), str))
        for number in called
    )


def _allele(record: Record, chromosome: str, alt: str, copies: float | None) -> Variant | str:
    """What an alternate allele is, or why it is left out."""
    if alt == "*" or alt in ANY:
        return "stands for any other allele"
    kind = record.info.get("SVTYPE", "").partition(":")[0].upper()
    symbol = _SYMBOL.fullmatch(alt)
    if symbol:
        kind = kind or symbol[1].partition(":")[0].upper()
    elif _BREAKEND.search(alt):
        kind = "BND"
    if kind and kind not in STRUCTURAL:
        return "a symbolic allele that is not understood"
    base = Variant(chromosome, record.pos, record.ref, alt, record.ids, kind)
    if kind == "":
        if "." in record.ref or not _BASES.fullmatch(alt):
            return "REF or ALT is no sequence of bases"
        return base._replace(alt=alt.upper())
    if kind in ("BND", "TRA"):
        return base._replace(kind="BND", end=record.pos)
    end = _end(record, kind)
    if end is None:
        return "a structural variant without an end (END or SVLEN)"
    return base._replace(
        end=end,
        start_error=_interval(record.info.get("CIPOS", "")),
        end_error=_interval(record.info.get("CIEND", "")),
        copies=copies,
    )


def _end(record: Record, kind: str) -> int | None:
    end, length = amount(record.info.get("END")), amount(record.info.get("SVLEN", "").lstrip("-").partition(",")[0])
    if end is not None:
        return max(int(end), record.pos)
    if kind == "INS":
        return record.pos
    if length is not None:
        return record.pos + int(length)
    return record.pos + len(record.ref) - 1 if len(record.ref) > 1 else None


def _interval(text: str) -> tuple[int, int]:
    low, _, high = text.partition(",")
    try:
        return int(low), int(high)
    except ValueError:
        return 0, 0


def _origin(record: Record) -> str:
    """As the record says: INFO SOMATIC, or the status (SS) of the sample or the site."""
    status = (record.call.get("SS") or record.info.get("SS") or "").lower()
    if "SOMATIC" in record.info or status in ("2", "somatic"):
        return SOMATIC
    return GERMLINE if status in ("1", "germline") else ""


def _state(alleles: list[str], number: int, chromosome: str) -> str:
    """The allelic state of one allele; "" where part of the genotype is not known."""
    if not all(one.isdecimal() for one in alleles):
        return ""
    alike = all(int(one) == number for one in alleles)
    if chromosome == "MT":
        return "homoplasmic" if alike else "heteroplasmic"
    if len(alleles) == 1:
        return "hemizygous"
    return "homozygous" if alike else "heterozygous"


def _phase(record: Record, alleles: list[str], number: int) -> tuple[str, int]:
    """The phase set of an allele that one copy of two has, and which copy; "" where phase is not told."""
    told = record.call.get("PS", ".")
    if (
        told in (".", "")
        or record.call.get("GT", "").count("|") != 1
        or len(alleles) != 2
        or alleles[0] == alleles[1]
        or "." in alleles
    ):
        return "", 0
    return told, alleles.index(str(number)) if str(number) in alleles else 0


def _measured(record: Record, header: Header, number: int) -> tuple[int | None, float | None]:
    """How many reads have the allele, and their share: as stated (AF), else of those counted for each allele (AD)."""
    stated = record.call.get("AF", "").split(",")
    share = amount(stated[number - 1]) if number <= len(stated) else None
    depths = record.call.get("AD", "").split(",")
    if not header.depths_by_allele or len(depths) != 1 + len(record.alts) or not all(map(str.isdecimal, depths)):
        return None, share
    counted = [int(one) for one in depths]
    if share is None and any(counted):
        share = counted[number] / sum(counted)
    return counted[number], share


def amount(text: str | None) -> float | None:
    """A number of a field; None if it is none, or beyond what one can be."""
    number = float(text) if text is not None and _NUMBER.fullmatch(text) else None
    return number if number is None or abs(number) < MOST else None
