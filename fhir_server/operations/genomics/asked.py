"""What the genomics operations are asked: lists, regions, variants, codes. docs/genomics-operations.md

https://hl7.org/fhir/uv/genomics-reporting/operations.html
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fhir_server.fhir.outcome import refuse
from fhir_server.genomics import chain, fasta
from fhir_server.genomics.alleles import ACCESSION, Allele, Mismatch, keys, parse, spelled
from fhir_server.genomics.assemblies import is_chromosome
from fhir_server.genomics.variant import Interval
from fhir_server.operations.inputs import Inputs
from fhir_server.server import Server

MOST = 200  # values of one list
_RANGE = re.compile(rf"(?P<on>{ACCESSION.pattern})\s*:\s*(?P<low>\d{{1,10}})\s*-\s*(?P<high>\d{{1,10}})", re.ASCII)


class Range(NamedTuple):
    """A region as it was asked for, and where it is: on its own assembly, and on the other if it can be converted."""

    text: str
    at: Interval
    places: tuple[Interval, ...]


class Sought(NamedTuple):
    """A variant as it was asked for, what observations of it name (search/genomic.py: naming), the allele, None where
    only its spelling can be compared, and whether it is known on the other assembly too."""

    text: str
    names: tuple[tuple[str, str], ...]
    allele: Allele | None
    both: bool = False


class Token(NamedTuple):
    """`system|code`, or a free text: then `system` is None."""

    text: str  # without the system
    system: str | None


def listed(given: Inputs, name: str) -> tuple[str, ...]:
    """The values of a list, whether they came with commas or one by one. Raises FhirError 400 for too many."""
    return tuple(dict.fromkeys(one for part in groups(given, name) for one in part))


def groups(given: Inputs, name: str) -> tuple[tuple[str, ...], ...]:
    """The values of each repetition of a parameter."""
    found = tuple(
        tuple(dict.fromkeys(one.strip() for one in text.split(",") if one.strip())) for text in given.get(name, ())
    )
    if sum(map(len, found)) > MOST:
        raise refuse(400, "too-long", f"{name} may have {MOST} values at most.", name)
    return tuple(group for group in found if group)


def required(given: Inputs, name: str, example: str) -> tuple[str, ...]:
    """A list that must not be empty. Raises FhirError 400."""
    found = listed(given, name)
    if not found:
        raise refuse(400, "required", f"{name} is required, for example {name}={example}.", name)
    return found


def ranges(server: Server, texts: Iterable[str]) -> tuple[Range, ...]:
    """Regions of chromosomes. Raises FhirError 400."""
    return tuple(_range(server, text) for text in texts)


def _range(server: Server, text: str) -> Range:
    found = _RANGE.fullmatch(text)
    if found is None:
        raise refuse(
            400, "value", f"ranges: {text[:60]!r} is no region such as NC_000007.14:55174721-55174820.", "ranges"
        )
    accession, low, high = found["on"], int(found["low"]), int(found["high"])
    if not is_chromosome(accession):
        said = f"ranges: {accession} is no chromosome of GRCh37 or GRCh38, named by RefSeq accession and version."
        raise refuse(400, "value", said, "ranges")
    if low > high:
        raise refuse(400, "value", f"ranges: {text[:60]!r} ends before it begins.", "ranges")
    at = Interval(accession, low, high)
    lift = chain.opened(server.settings.chain)
    lifted = lift(at) if lift else None
    return Range(f"{accession}:{low}-{high}", at, (at, lifted.at) if lifted else (at,))


def variants(server: Server, texts: Iterable[str]) -> tuple[Sought, ...]:
    """Variants in HGVS or SPDI. Raises FhirError 400 for other texts, for what contradicts the reference sequence; 422
    for a duplication or inversion whose bases only a reference sequence could tell."""
    return tuple(variant(server, text) for text in texts)


def variant(server: Server, text: str) -> Sought:
    """One variant, as `variants`."""
    allele, spelling = parse(text), spelled(text)
    if allele is None and not spelling:
        said = f"variants: {text[:60]!r} is neither SPDI (NC_000005.9:112102031:A:T) nor HGVS."
        raise refuse(400, "value", said, "variants")
    if allele is not None and "." not in allele.accession and allele.accession[:3] != "LRG":
        raise refuse(400, "value", f"variants: {text[:60]!r} needs the version of {allele.accession}.", "variants")
    names = [("", spelling)]
    if allele is not None:
        try:
            known = keys(allele, fasta.opened(server.settings.genome))
        except Mismatch as error:
            raise refuse(400, "value", f"variants: {text[:60]!r}: {error}", "variants") from None
        if not known and allele.how != "same":
            said = f"variants: {text[:60]!r} cannot be compared without the sequence of {allele.accession}: say its "
            said += "bases, or ask the operator to supply the sequence (setting genome)."
            raise refuse(422, "not-supported", said, "variants")
        names = [(allele.accession, key) for key in known] or names  # what has a key has it wherever it is spelled
        if known and allele.inserted is None:
            names.append(("", spelling))  # of these an Observation has no key: it is indexed without the sequence
    there = _there(server, allele) if allele is not None else []
    return Sought(text, (*names, *there), allele, bool(there))


def _there(server: Server, allele: Allele) -> list[tuple[str, str]]:
    """The names of an allele on the other assembly: none unless it corresponds base by base and, where the sequence is
    at hand, has the same bases."""
    lift = chain.opened(server.settings.chain)
    end = allele.start + max(allele.length, 1)
    lifted = lift(Interval(allele.accession, allele.start, end)) if lift else None
    if lifted is None or not lifted.whole:
        return []
    moved = allele._replace(accession=lifted.at.accession, start=lifted.at.start)
    try:
        return [(moved.accession, key) for key in keys(moved, fasta.opened(server.settings.genome))]
    except Mismatch:
        return []


def token(text: str) -> Token:
    """A token as the guide writes it."""
    system, bar, code = text.partition("|")
    return Token(code.strip() if bar else text, system.strip() if bar else None)


def tokens(texts: Sequence[str]) -> Iterator[Token]:
    """Several tokens."""
    return map(token, texts)
