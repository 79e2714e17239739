"""Which gene a code, a symbol or a reference sequence names. https://www.genenames.org/"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from fhir_server.matching.hgvs import Variant
from fhir_server.terminology.codes import Concept, Terminology

HGNC = "http://www.genenames.org"


@dataclass(frozen=True, slots=True)
class Genes:
    """The loaded genes: HGNC id by symbol, former symbol or alias, and by accession; symbol by id."""

    by_symbol: Mapping[str, str]
    by_reference: Mapping[str, str]
    symbols: Mapping[str, str]

    def named(self, codings: Iterable[Concept]) -> frozenset[str]:
        """The genes that codings name: HGNC ids, or upper-case symbols of genes that are not loaded."""
        return frozenset(self.by_symbol.get(c.code.upper(), c.code.upper()) for c in codings if c.system == HGNC)

    def of_variant(self, variant: Variant) -> frozenset[str]:
        """The gene that an HGVS description names by its reference sequence or symbol; empty if it names none."""
        gene = self.by_reference.get(variant.reference or "")
        if gene is None and variant.gene is not None:
            gene = self.by_symbol.get(variant.gene.upper(), variant.gene.upper())
        return frozenset() if gene is None else frozenset((gene,))

    def symbol(self, gene: str) -> str:
        """What people call the gene."""
        return self.symbols.get(gene, gene)


@lru_cache(maxsize=2)  # what is kept keeps its terminology in memory, also one that was loaded anew since
def genes_of(terminology: Terminology) -> Genes:
    """The genes among the loaded concepts. A former symbol or an alias names a gene where it is no symbol itself and
    names no other gene."""
    codes = [code for code in terminology.loaded.get(HGNC, ()) if not _withdrawn(terminology, code)]
    symbols = {code: terminology.display(Concept(HGNC, code)) for code in codes}
    aliases: dict[str, set[str]] = {}
    for code in codes:
        for name in terminology.names.get(Concept(HGNC, code), ()):
            aliases.setdefault(name.upper(), set()).add(code)
    certain = {name: next(iter(owners)) for name, owners in aliases.items() if len(owners) == 1}
    references = {
        reference.partition(".")[0]: code
        for code in symbols
        for name in ("reference-sequence", "mane-select")
        for reference in terminology.property(Concept(HGNC, code), name)
    }
    return Genes(certain | {symbol.upper(): code for code, symbol in symbols.items()}, references, symbols)


def _withdrawn(terminology: Terminology, code: str) -> bool:
    return True in terminology.property(Concept(HGNC, code), "inactive")
