"""A VCF file as a header and records, one line at a time. https://samtools.github.io/hts-specs/VCFv4.3.pdf

What a line holds beyond the sample that is asked for is not kept, so that memory does not grow with the file. A line
that is no record is told as such and does not end the reading.
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date as day
from typing import BinaryIO, NamedTuple, cast

from fhir_server.genomics.assemblies import GRCH37, GRCH38, NAMES

LONGEST = 16_000_000  # bytes of a line: a record of 100,000 samples is shorter
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")
LENGTHS: Mapping[str, tuple[int, ...]] = {
    GRCH37: (249250621, 243199373, 198022430, 191154276, 180915260, 171115067, 159138663, 146364022, 141213431,
             135534747, 135006516, 133851895, 115169878, 107349540, 102531392, 90354753, 81195210, 78077248, 59128983,
             63025520, 48129895, 51304566, 155270560, 59373566),
    GRCH38: (248956422, 242193529, 198295559, 190214555, 181538259, 170805979, 159345973, 145138636, 138394717,
             133797422, 135086622, 133275309, 114364328, 107043718, 101991189, 90338345, 83257441, 80373285, 58617616,
             64444167, 46709983, 50818468, 156040895, 57227415),
}  # fmt: skip
MITOCHONDRION = 16569  # bases of NC_012920.1
_STRUCTURED = re.compile(r"##(\w+)=<(.*)>\s*$")
_PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^,]*)')
_SPOKEN = {
    GRCH37: re.compile(r"hg19|grch37|hs37|(?<![a-z0-9])b37|build[ _]?37", re.IGNORECASE),
    GRCH38: re.compile(r"hg38|grch38|hs38|(?<![a-z0-9])b38|build[ _]?38", re.IGNORECASE),
}
_WHOLE = re.compile(r"\d{1,10}", re.ASCII)


class NotVcf(ValueError):
    """The file is no VCF that can be read, or does not say what must be known: the message says what to do."""


class Header(NamedTuple):
    """What the lines before the first record say."""

    contigs: Mapping[str, int]  # name -> length, 0 if it is not given
    spoken: frozenset[str]  # assemblies that its words name
    samples: tuple[str, ...]
    tumour: str = ""  # the sample of the tumour, where the caller says which
    date: str = ""  # YYYY-MM-DD, "" if it tells none
    depths_by_allele: bool = False  # whether AD is declared to count the reference, then each alternate allele


class Record(NamedTuple):
    """One line: the site, and what is said of one sample."""

    line: int
    chrom: str
    pos: int
    ids: tuple[str, ...]
    ref: str
    alts: tuple[str, ...]
    filters: tuple[str, ...]  # those that failed
    info: Mapping[str, str]
    call: Mapping[str, str]  # FORMAT key -> value of the sample


class Malformed(NamedTuple):
    """A line that is no record, and why."""

    line: int
    why: str


def opened(file: BinaryIO) -> BinaryIO:
    """The text of a file that may be compressed with gzip or bgzip."""
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic == b"\x1f\x8b" else file


def lines(file: BinaryIO) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without line ends. Raises NotVcf for a line that is too long or broken gzip."""
    number = 0
    try:
        while line := file.readline(LONGEST + 1):
            number += 1
            if len(line) > LONGEST:
                raise NotVcf(f"Line {number} is longer than {LONGEST:,} bytes.")
            yield number, line.decode("utf-8", "replace").rstrip("\r\n")
    except (EOFError, zlib.error, OSError) as error:
        raise NotVcf(f"The file cannot be decompressed behind line {number}: {error}.") from None


def read_header(numbered: Iterator[tuple[int, str]]) -> Header:
    """The header; `numbered` stands at the first record afterwards. Raises NotVcf if there is none."""
    contigs: dict[str, int] = {}
    spoken: set[str] = set()
    tumour = date = ""
    by_allele = False
    for number, line in numbered:
        if number == 1 and not line.lstrip("\ufeff").startswith("##fileformat=VCFv4"):
            raise NotVcf("The first line is not ##fileformat=VCFv4.x: this is no VCF of version 4.")
        if line.startswith("#CHROM"):
            names = line.split("\t")
            if tuple(names[:8]) != COLUMNS:
                raise NotVcf(f"Line {number} does not name the columns of a VCF, separated by tabs.")
            return Header(contigs, frozenset(spoken), tuple(names[9:]), tumour, date, by_allele)
        if not line.startswith("##"):
            raise NotVcf(f"Line {number} comes before the line #CHROM that names the columns.")
        found = _STRUCTURED.match(line)
        about = {key: value.strip('"') for key, value in _PAIR.findall(found[2])} if found else {}
        kind = found[1] if found else ""
        if kind == "contig" and about.get("ID"):
            contigs[about["ID"]] = int(about["length"]) if _WHOLE.fullmatch(about.get("length", "")) else 0
            spoken |= {name for name, words in _SPOKEN.items() if words.search(about.get("assembly", ""))}
        elif kind == "FORMAT" and about.get("ID") == "AD":
            by_allele = about.get("Number") in ("R", ".")
        elif not kind:
            key, _, value = line[2:].partition("=")
            if key in ("reference", "assembly", "source_GENOME_REFERENCE"):
                spoken |= {name for name, words in _SPOKEN.items() if words.search(value)}
            elif key == "tumor_sample":
                tumour = value.strip()
            elif key == "fileDate" and re.fullmatch(r"\d{8}", value.strip(), re.ASCII):
                with suppress(ValueError):  # the format is free: it may be another
                    date = day.fromisoformat(value.strip()).isoformat()
    raise NotVcf("The file ends before the line #CHROM that names the columns.")


def assembly_of(header: Header, stated: str = "") -> str:
    """The assembly, by the lengths of the contigs, else by the words of the header, else as `stated`.

    Raises NotVcf if it cannot be told, or is not the stated one."""
    lengths = {name: length for contig, length in header.contigs.items() if (name := contig_name(contig)) and length}
    fits = {
        assembly
        for assembly, known in LENGTHS.items()
        if any(lengths.get(name) == length for name, length in zip(NAMES, known, strict=True))
    }
    found = fits or set(header.spoken)
    if len(found) > 1:
        raise NotVcf("The header names contigs of both GRCh37 and GRCh38.")
    told = next(iter(found), "")
    if stated and told and stated != told:
        raise NotVcf(f"The header says that the file is on {told}, not on {stated}.")
    if not (told or stated):
        raise NotVcf("The header does not say which assembly the positions are of: state GRCh37 or GRCh38.")
    return told or stated


def ends(assembly: str) -> dict[str, int]:
    """The last position of each chromosome."""
    return {**dict(zip(NAMES, LENGTHS[assembly], strict=True)), "MT": MITOCHONDRION}


def contig_name(contig: str) -> str:
    """The chromosome of a contig (`1` to `22`, `X`, `Y`, `MT`); "" for any other contig."""
    name = contig.removeprefix("chr").removeprefix("CHR").upper()
    return "MT" if name in ("M", "MT") else name if name in NAMES else ""


def sample_of(header: Header, asked: str = "") -> int:
    """The place of the sample that is asked for: by its name, else the tumour's, else the only one. Raises NotVcf."""
    if not header.samples:
        raise NotVcf("The file has no sample: sites alone are nobody's result.")
    wanted = asked or header.tumour or (header.samples[0] if len(header.samples) == 1 else "")
    if wanted in header.samples:
        return header.samples.index(wanted)
    which = ", ".join(header.samples[:10])
    raise NotVcf(f"There is no sample {wanted!r}: name one of {which}." if wanted else f"Name a sample: {which}.")


def records(numbered: Iterator[tuple[int, str]], sample: int) -> Iterator[Record | Malformed]:
    """The records, with what they say of the sample at a place."""
    for number, line in numbered:
        if line:
            yield _record(number, line, sample)


def _record(number: int, line: str, sample: int) -> Record | Malformed:
    parts = line.split("\t")
    if len(parts) < 10 + sample:
        return Malformed(number, f"it has {len(parts)} columns, not {10 + sample} or more")
    chrom, pos, ids, ref, alts, _, filters, info, keys = parts[:9]
    if not _WHOLE.fullmatch(pos):
        return Malformed(number, f"POS is {pos[:20]!r}, no whole number")
    if not re.fullmatch(r"[ACGTNacgtn.]+", ref, re.ASCII):
        return Malformed(number, f"REF is {ref[:20]!r}, no sequence of bases")
    return Record(
        number,
        chrom,
        int(pos),
        () if ids == "." else tuple(ids.split(";")),
        ref.upper(),
        () if alts == "." else tuple(alts.split(",")),
        () if filters in (".", "PASS", "0") else tuple(filters.split(";")),
        {} if info == "." else dict(_pair(one) for one in info.split(";")),
        dict(zip(keys.split(":"), parts[9 + sample].split(":"), strict=False)),
    )


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value
