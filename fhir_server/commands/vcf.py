"""`fhir-server import vcf`: a VCF turned into NDJSON, which is then imported like any other. docs/genomics.md"""

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fhir_server.app import open_server
from fhir_server.genomics.vcf.convert import Regions, Tally, Wish, convert, read_bed, read_genes
from fhir_server.genomics.vcf.coverage import Gene, Needs
from fhir_server.genomics.vcf.read import NotVcf
from fhir_server.matching.genes import genes_of
from fhir_server.search.predicate import EVERYTHING
from fhir_server.server import Server
from fhir_server.settings import Settings


def wish_of(args: argparse.Namespace) -> Wish:
    """What the arguments say of the file. Raises ValueError for what cannot be, OSError."""
    if len(args.paths) != 2:
        raise ValueError("import vcf takes one FILE: join the files of one sample first (bcftools concat).")
    if not args.patient:
        raise ValueError("Say whose sample was read: --patient ID.")
    patient, specimen, order = (
        f"{type}/{id.removeprefix(f'{type}/')}" if id else ""
        for type, id in (("Patient", args.patient), ("Specimen", args.specimen), ("ServiceRequest", args.order))
    )
    studied, uncallable = _regions(args.regions), _regions(args.uncallable)
    if uncallable and not studied:
        raise ValueError("Regions without a result lie in regions that were studied: name those with --regions.")
    return Wish(
        patient, specimen, order, args.sample, args.assembly, args.source, args.every_filter, studied, uncallable,
        _genes(args.genes), Needs(args.min_depth, args.min_quality),
    )  # fmt: skip


@contextlib.contextmanager
def converted(args: argparse.Namespace, wish: Wish) -> Iterator[tuple[Path, Tally]]:
    """The NDJSON of the VCF, kept where --ndjson says, else only until the end. Raises ValueError, OSError."""
    with tempfile.TemporaryDirectory(dir=args.ndjson.parent if args.ndjson else None) as folder:
        path = Path(folder) / "vcf.ndjson"
        try:
            with args.paths[1].open("rb") as file, path.open("wb") as out:
                tally = convert(file, wish, out)
        except NotVcf as reason:
            raise ValueError(f"{args.paths[1]}: {reason}") from None
        yield (path.replace(args.ndjson) if args.ndjson else path), tally


async def coded(settings: Settings, wish: Wish) -> Wish:
    """The wish with the HGNC ids of the genes that it names by symbols, former symbols or aliases."""
    async with open_server(settings) as server:
        known = genes_of(server.terminology)
    return wish._replace(
        genes=tuple(gene._replace(code=gene.code or known.by_symbol.get(gene.name.upper(), "")) for gene in wish.genes)
    )


async def require(server: Server, wish: Wish) -> None:
    """Raise ValueError unless all that the resources will refer to is stored."""
    for reference in filter(None, (wish.patient, wish.specimen, wish.order)):
        type, _, id = reference.partition("/")
        row = await server.store.read(type, id, EVERYTHING)
        if row is None or row.deleted:
            raise ValueError(f"There is no {reference} in the store: load it first.")


def told(tally: Tally) -> str:
    """What became of the file, in a few lines."""
    lines = [f"{tally.report} on {tally.assembly}: {tally.variants:,} variants"]
    lines += [f"  {tally.phased:,} pairs of variants in phase sets"] if tally.phased else []
    lines += [f"  {tally.regions:,} regions read, by the blocks of a gVCF"] if tally.regions else []
    lines += [f"  left out: {count:,} {reason}" for reason, count in sorted(tally.left.items())]
    lines += [f"  line {one.line}: {one.why}" for one in tally.malformed]
    return "\n".join(lines)


def _genes(path: Path | None) -> tuple[Gene, ...]:
    if path is None:
        return ()
    with path.open("rb") as file:
        try:
            return read_genes(file)
        except NotVcf as reason:
            raise ValueError(f"{path}: {reason}") from None


def _regions(path: Path | None) -> Regions:
    if path is None:
        return {}
    with path.open("rb") as file:
        try:
            return read_bed(file)
        except NotVcf as reason:
            raise ValueError(f"{path}: {reason}") from None
