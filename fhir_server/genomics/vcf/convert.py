"""A VCF as NDJSON of FHIR resources: the report first, then what it names; memory does not grow with the file.

https://hl7.org/fhir/uv/genomics-reporting/
"""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import BinaryIO, NamedTuple

from fhir_server.fhir import codec
from fhir_server.genomics.assemblies import NAMES
from fhir_server.genomics.vcf.calls import variants
from fhir_server.genomics.vcf.observations import Interval, Subject, panel, region, report, variant
from fhir_server.genomics.vcf.read import (
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

IN_REPORT = 1000  # results that a report names itself; more are named by panels of so many
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


@dataclass(slots=True)
class Tally:
    """What became of the file."""

    report: str = ""  # its reference
    assembly: str = ""
    variants: int = 0
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
    front: list[str] = []  # what the report names
    panels: list[bytes] = []
    waiting: list[str] = []
    with tempfile.TemporaryFile() as found:
        for record in records(numbered, place):
            if isinstance(record, Malformed):
                tally.left["no record of a VCF"] += 1
                if len(tally.malformed) < TOLD:
                    tally.malformed.append(record)
                continue
            for one in variants(record, header, last, wish.source, wish.every_filter, tally.left):
                made = variant(subject, one)
                found.write(codec.encode(made) + b"\n")
                tally.variants += 1
                waiting.append(f"Observation/{made['id']}")
                if len(waiting) == IN_REPORT:
                    panels.append(codec.encode(panel(subject, len(panels), waiting)))
                    waiting = []
        if panels and waiting:
            panels.append(codec.encode(panel(subject, len(panels), waiting)))
            waiting = []
        looked_at = [
            region(subject, name, wish.studied[name], wish.uncallable.get(name, []))
            for name in (*NAMES, "MT")
            if name in wish.studied
        ]
        front += [f"Observation/{one['id']}" for one in looked_at]
        front += [f"Observation/{codec.decode(one)['id']}" for one in panels] or waiting
        whole = report(subject, front, _conclusion(tally))
        tally.report = f"DiagnosticReport/{whole['id']}"
        for made_first in (codec.encode(whole), *map(codec.encode, looked_at), *panels):
            out.write(made_first + b"\n")
            tally.resources += 1
        found.seek(0)
        shutil.copyfileobj(found, out)
        tally.resources += tally.variants
    return tally


def read_bed(file: BinaryIO) -> dict[str, list[Interval]]:
    """The intervals of a BED file, which counts from 0 and up to the base after the last, as positions from 1.

    Raises NotVcf for a line that is none."""
    found: dict[str, list[Interval]] = {}
    for number, line in lines(opened(file)):
        parts = line.split()
        if not parts or parts[0] in ("track", "browser") or parts[0].startswith("#"):
            continue
        name = contig_name(parts[0])
        if len(parts) < 3 or not parts[1].isdecimal() or not parts[2].isdecimal() or int(parts[1]) >= int(parts[2]):
            raise NotVcf(f"Line {number} of the BED file is no interval: CHROM START END, separated by tabs.")
        if name:
            found.setdefault(name, []).append((int(parts[1]) + 1, int(parts[2])))
    return found


def _conclusion(tally: Tally) -> str:
    """What a reader should know first."""
    left = "".join(f" {count:,} {reason}." for reason, count in sorted(tally.left.items()))
    return (
        f"{tally.variants:,} variants, converted from a VCF on {tally.assembly}.{' Left out:' + left if left else ''}"
    )
