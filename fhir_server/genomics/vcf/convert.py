"""A VCF as NDJSON of FHIR resources: the report first, then what it names; memory does not grow with the file.

https://hl7.org/fhir/uv/genomics-reporting/
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from fhir_server.fhir import codec
from fhir_server.fhir.codec import Resource
from fhir_server.genomics.assemblies import NAMES
from fhir_server.genomics.vcf.calls import ANY, Variant, chromosome_of, variants
from fhir_server.genomics.vcf.coverage import MOST, Coverage, Gene, Needs, Piece, gathered, is_block
from fhir_server.genomics.vcf.observations import Interval, Subject, phased, region, report, variant
from fhir_server.genomics.vcf.read import (
    Header,
    Malformed,
    NotVcf,
    assembly_of,
    contig_name,
    ends,
    lines,
    opened,
    read_header,
    records,
    sample_of,
)
from fhir_server.genomics.vcf.results import Results

MOST_SETS = 10_000  # phase sets that may still go on: those of files in order are few
TOLD = 100  # lines of which it is told why they are no records

Regions = Mapping[str, list[Interval]]  # chromosome -> intervals
NOWHERE: Regions = MappingProxyType({})


class Wish(NamedTuple):
    """What is known beside the file. References; "" where nothing is to be said or the file says it."""

    patient: str
    specimen: str = ""
    order: str = ""
    sample: str = ""
    assembly: str = ""
    source: str = ""
    every_filter: bool = False
    studied: Regions = NOWHERE
    uncallable: Regions = NOWHERE
    genes: tuple[Gene, ...] = ()  # that were meant to be read
    needs: Needs = Needs()  # what it takes, in a gVCF, to have been read


@dataclass(slots=True)
class Tally:
    """What became of the file."""

    report: str = ""  # its reference
    assembly: str = ""
    variants: int = 0
    phased: int = 0  # pairs of variants of which it is told whether they are on one copy of the chromosome
    regions: int = 0  # intervals that were read, by the blocks of a gVCF
    left: Counter[str] = field(default_factory=Counter)  # reason -> how many
    malformed: list[Malformed] = field(default_factory=list)  # the first of them
    resources: int = 0


def convert(file: BinaryIO, wish: Wish, out: BinaryIO) -> Tally:
    """Write the resources as NDJSON; returns what was done. Raises NotVcf if the file cannot be read."""
    numbered = lines(opened(file))
    header = read_header(numbered)
    place, tally = sample_of(header, wish.sample), Tally(assembly=assembly_of(header, wish.assembly))
    subject = Subject(wish.patient, wish.specimen, wish.order, header.samples[place], tally.assembly, header.date)
    last = ends(tally.assembly)
    wish = _on_assembly(wish, header)
    read = Coverage(
        wish.needs, wish.every_filter, wish.studied, wish.genes, wish.uncallable, alone=len(header.samples) == 1
    )
    sets: dict[tuple[str, str], tuple[str, int]] = {}  # the variant before in each phase set, and its copy
    with tempfile.TemporaryFile() as found, tempfile.TemporaryFile() as looked:
        results, studied = Results(subject, found), Results(subject, looked)
        for record in records(numbered, place):
            if isinstance(record, Malformed):
                tally.left["no record of a VCF"] += 1
                if len(tally.malformed) < TOLD:
                    tally.malformed.append(record)
                continue
            # Of a file that is no gVCF, this is all that it costs.
            if (read.seen or not record.alts or not ANY.isdisjoint(record.alts)) and (
                chromosome := chromosome_of(record.chrom, header)
            ):
                for piece in read.see(record, chromosome, last[chromosome]):
                    tally.regions += _looked(subject, piece, studied)
                if is_block(record):
                    continue
            for one in variants(record, header, last, wish.source, wish.every_filter, tally.left):
                made = variant(subject, one)
                results.add(made)
                tally.variants += 1
                tally.phased += _together(subject, one, made["id"], sets, results)
        for piece in read.rest():
            tally.regions += _looked(subject, piece, studied)
        if not read.seen:
            for name in (*NAMES, "MT"):
                for made in _stated(subject, name, wish.studied.get(name, []), wish.uncallable.get(name, [])):
                    studied.add(made)
        else:
            for name, intervals in wish.uncallable.items():
                for made in _stated(subject, name, [], intervals, "stated"):
                    studied.add(made)
        for name, whole, part in read.studied_genes() if read.seen else ():
            if part:
                tally.left["a gene that was not wholly read"] += part
            for number, some in enumerate(gathered(whole)):
                # With their ranges: who reads "the gene was studied" alone takes every variant of it for absent that is
                # not named by the gene, and those of a VCF are named by places.
                named = list(dict.fromkeys((gene.name, gene.code) for gene in some))
                said = f"genes {number}" if number else "genes"
                studied.add(region(subject, name, [gene.interval for gene in some], [], said, named))
        front = [*studied.named(), *results.named()]
        whole_report = report(subject, front, _conclusion(tally))
        tally.report = f"DiagnosticReport/{whole_report['id']}"
        out.write(codec.encode(whole_report) + b"\n")
        for one_of in (studied, results):
            one_of.copy(out)
        tally.resources = 1 + studied.count + results.count
    return tally


def _together(
    subject: Subject, one: Variant, id: str, sets: dict[tuple[str, str], tuple[str, int]], results: Results
) -> int:
    """Tell how a variant lies to the one before it in its phase set; how many relations that makes."""
    if not one.phase:
        return 0
    key = (one.chromosome, one.phase)
    before = sets.get(key)
    if before is None and len(sets) == MOST_SETS:
        sets.pop(next(iter(sets)))
    sets[key] = (id, one.side)
    if before is None or before[0] == id:  # a file may name a variant twice
        return 0
    results.add(phased(subject, before[0], id, before[1] == one.side))
    return 1


def _on_assembly(wish: Wish, header: Header) -> Wish:
    """The wish without what it says of the mitochondrion, where the file has another sequence of it."""
    if all(chromosome_of(contig, header) for contig in header.contigs if contig_name(contig) == "MT"):
        return wish
    nowhere: Regions = {"MT": []}
    return wish._replace(
        studied=wish.studied and {**wish.studied, **nowhere}, uncallable={**wish.uncallable, **nowhere}
    )


def _stated(
    subject: Subject, name: str, studied: Sequence[Interval], uncallable: Sequence[Interval], said: str = ""
) -> Iterator[Resource]:
    """What the wish says of a chromosome, so many intervals together as one Observation is to have; nothing of a
    chromosome of which it does not say what was studied, unless it is `said` otherwise."""
    told = [*((True, one) for one in studied), *((False, one) for one in uncallable)] if studied or said else []
    for number, begin in enumerate(range(0, len(told), MOST)):
        some = told[begin : begin + MOST]
        read, not_read = ([one for read, one in some if read is wanted] for wanted in (True, False))
        yield region(subject, name, read, not_read, f"{said} {number}".strip() if number else said)


def _looked(subject: Subject, piece: Piece, studied: Results) -> int:
    """Tell of some intervals of a gVCF; how many were read."""
    began = min(interval[0] for interval in (*piece.studied, *piece.uncallable))
    studied.add(region(subject, piece.chromosome, piece.studied, piece.uncallable, began))
    return len(piece.studied)


def read_bed(file: BinaryIO) -> dict[str, list[Interval]]:
    """The intervals of a BED file, which counts from 0 and up to the base after the last, as positions from 1.

    Raises NotVcf for a line that is none."""
    found: dict[str, list[Interval]] = {}
    for name, interval, _ in _bed(file, 3, "of the BED file is no interval: CHROM START END, separated by tabs."):
        found.setdefault(name, []).append(interval)
    return found


def read_genes(file: BinaryIO) -> tuple[Gene, ...]:
    """The genes of a BED file whose fourth column names them, by symbol or HGNC id; several intervals of one name are
    one gene. Raises NotVcf for a line that is none."""
    told = _bed(file, 4, "of the genes is no interval with a name: CHROM START END GENE.")
    return tuple(Gene(name, interval, gene, gene if gene.startswith("HGNC:") else "") for name, interval, gene in told)


def _bed(file: BinaryIO, columns: int, fault: str) -> Iterator[tuple[str, Interval, str]]:
    """Chromosome, interval and the fourth column, if `columns` asks for it, of each line on a chromosome we know."""
    for number, line in lines(opened(file)):
        parts = line.split()
        if not parts or parts[0] in ("track", "browser") or parts[0].startswith("#"):
            continue
        if len(parts) < columns or not (
            parts[1].isdecimal() and parts[2].isdecimal() and int(parts[1]) < int(parts[2])
        ):
            raise NotVcf(f"Line {number} {fault}")
        if name := contig_name(parts[0]):
            yield name, (int(parts[1]) + 1, int(parts[2])), parts[3] if columns > 3 else ""


def _conclusion(tally: Tally) -> str:
    """What a reader should know first."""
    left = "".join(f" {count:,} {reason}." for reason, count in sorted(tally.left.items()))
    return (
        f"{tally.variants:,} variants, converted from a VCF on {tally.assembly}.{' Left out:' + left if left else ''}"
    )
