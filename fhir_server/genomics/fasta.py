"""Reference sequences from FASTA files that the operator supplies. https://www.htslib.org/doc/faidx.html

A file has its index beside it (`samtools faidx FILE` makes FILE.fai); its sequences are named by RefSeq accessions, as
those of NCBI are. A few bytes are read at a time, so that no genome is held in memory.
"""

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from fhir_server.genomics.alleles import Bases


class _Sequence(NamedTuple):
    file: int
    length: int
    offset: int
    bases: int  # of a line
    width: int  # of a line, in bytes


@cache
def opened(paths: str) -> Bases | None:
    """The bases of the sequences in several files, separated by spaces; None if there are no files. They stay open.

    Raises ValueError that says what is wrong with a file and how to mend it."""
    if not paths.split():
        return None
    known: dict[str, _Sequence] = {}
    for path in map(Path, paths.split()):
        known.update(_indexed(path))

    def bases(accession: str, start: int, end: int) -> str:
        found = known.get(accession)
        return "" if found is None else _read(found, max(start, 0), min(end, found.length))

    return bases


def _indexed(path: Path) -> dict[str, _Sequence]:
    index = path.with_name(path.name + ".fai")
    try:
        file = os.open(path, os.O_RDONLY)
        if os.pread(file, 1, 0) != b">":
            raise ValueError(f"{path} is no FASTA file as it must be here: not compressed, beginning with '>'.")
        lines = index.read_text("ascii").splitlines()
    except OSError as error:
        raise ValueError(
            f"{error.filename} cannot be read: {error.strerror}. An index: samtools faidx {path}"
        ) from None
    try:
        rows = [line.split("\t")[:5] for line in lines if line]
        return {name: _Sequence(file, *map(int, numbers)) for name, *numbers in rows}
    except (TypeError, ValueError):
        raise ValueError(f"{index} is no index of a FASTA file. Make one: samtools faidx {path}") from None


def _read(sequence: _Sequence, start: int, end: int) -> str:
    if start >= end:
        return ""
    first, last = (sequence.offset + at // sequence.bases * sequence.width + at % sequence.bases for at in (start, end))
    text = os.pread(sequence.file, last - first, first)
    return text.decode("ascii", "replace").replace("\n", "").replace("\r", "").upper()[: end - start]
