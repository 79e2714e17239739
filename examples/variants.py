"""Cancer variants that are common knowledge: gene, HGVS names, kind. https://varnomen.hgvs.org

Genomic names are on GRCh38 and given only for a few hotspots; transcripts and proteins are the MANE or RefSeq ones.
"""

from typing import NamedTuple

# HGNC id (without the prefix) of every gene used. https://www.genenames.org
GENES = {
    "ABL1": 76, "ALK": 427, "APC": 583, "AR": 644, "ARID1A": 11110, "ATM": 795, "ATRX": 886, "BCR": 1014,
    "BRAF": 1097, "BRCA1": 1100, "BRCA2": 1101, "CDH1": 1748, "CDKN2A": 1787, "CIC": 14214, "CRLF2": 14281,
    "CTNNB1": 2514, "DIS3": 20604, "DNMT3A": 2978, "EGFR": 3236, "EML4": 1316, "ERBB2": 3430, "ERG": 3446,
    "ESR1": 3467, "ETV6": 3495, "EWSR1": 3508, "FGFR1": 3688, "FGFR2": 3689, "FGFR3": 3690, "FLI1": 3749,
    "FLT3": 3765, "FOXO1": 3819, "H3-3A": 4764, "IDH1": 5382, "IDH2": 5383, "JAK2": 6192, "KIAA1549": 22219,
    "KIT": 6342, "KMT2A": 7132, "KRAS": 6407, "MET": 7029, "MLH1": 7127, "MSH2": 7325, "MSH6": 7329, "MYC": 7553,
    "MYCN": 7559, "NF1": 7765, "NPM1": 7910, "NRAS": 7989, "NTRK1": 8031, "NTRK2": 8032, "NTRK3": 8033,
    "PALB2": 26144, "PAX3": 8617, "PDGFRA": 8803, "PIK3CA": 8975, "PMS2": 9122, "PTCH1": 9585, "PTEN": 9588,
    "RB1": 9884, "RET": 9967, "ROS1": 10261, "RUNX1": 10471, "SMAD4": 6770, "SMO": 11119, "STK11": 11389,
    "SUFU": 16466, "TERT": 11730, "TMPRSS2": 11876, "TP53": 11998, "VHL": 12687, "WT1": 12796,
}  # fmt: skip


class Variant(NamedTuple):
    """A variant: `genes` has two members for a fusion; `copies` is set for a copy-number change."""

    genes: tuple[str, ...]
    coding: str = ""
    protein: str = ""
    genomic: str = ""
    copies: int | None = None
    germline: bool = False


def _small(gene: str, coding: str, protein: str, genomic: str = "", germline: bool = False) -> Variant:
    return Variant((gene,), coding, protein, genomic, None, germline)


VARIANTS: dict[str, Variant] = {
    "ALK F1174L": _small("ALK", "NM_004304.5:c.3522C>A", "NP_004295.2:p.Phe1174Leu"),
    "ALK R1275Q": _small("ALK", "NM_004304.5:c.3824G>A", "NP_004295.2:p.Arg1275Gln"),
    "APC R1450*": _small("APC", "NM_000038.6:c.4348C>T", "NP_000029.2:p.Arg1450Ter"),
    "BRAF V600E": _small("BRAF", "NM_004333.6:c.1799T>A", "NP_004324.2:p.Val600Glu", "NC_000007.14:g.140753336A>T"),
    "BRAF V600K": _small("BRAF", "NM_004333.6:c.1798_1799delinsAA", "NP_004324.2:p.Val600Lys"),
    "BRCA1 Q1756fs": _small("BRCA1", "NM_007294.4:c.5266dup", "NP_009225.1:p.Gln1756fs", germline=True),
    "BRCA1 E23fs": _small("BRCA1", "NM_007294.4:c.68_69del", "NP_009225.1:p.Glu23fs", germline=True),
    "BRCA2 S1982fs": _small("BRCA2", "NM_000059.4:c.5946del", "NP_000050.3:p.Ser1982fs", germline=True),
    "CTNNB1 S33Y": _small("CTNNB1", "NM_001904.4:c.98C>A", "NP_001895.1:p.Ser33Tyr"),
    "DNMT3A R882H": _small("DNMT3A", "NM_022552.5:c.2645G>A", "NP_072046.2:p.Arg882His"),
    "EGFR L858R": _small("EGFR", "NM_005228.5:c.2573T>G", "NP_005219.2:p.Leu858Arg", "NC_000007.14:g.55191822T>G"),
    "EGFR ex19del": _small("EGFR", "NM_005228.5:c.2235_2249del", "NP_005219.2:p.Glu746_Ala750del"),
    "EGFR T790M": _small("EGFR", "NM_005228.5:c.2369C>T", "NP_005219.2:p.Thr790Met", "NC_000007.14:g.55181378C>T"),
    "ESR1 D538G": _small("ESR1", "NM_000125.4:c.1613A>G", "NP_000116.2:p.Asp538Gly"),
    "FLT3 ITD": _small("FLT3", "NM_004119.3:c.1780_1800dup", "NP_004110.2:p.Phe594_Asp600dup"),
    "FLT3 D835Y": _small("FLT3", "NM_004119.3:c.2503G>T", "NP_004110.2:p.Asp835Tyr"),
    "H3-3A K27M": _small("H3-3A", "NM_002107.7:c.83A>T", "NP_002098.1:p.Lys28Met"),
    "IDH1 R132H": _small("IDH1", "NM_005896.4:c.395G>A", "NP_005887.2:p.Arg132His", "NC_000002.12:g.208248388C>T"),
    "IDH1 R132C": _small("IDH1", "NM_005896.4:c.394C>T", "NP_005887.2:p.Arg132Cys"),
    "IDH2 R140Q": _small("IDH2", "NM_002168.4:c.419G>A", "NP_002159.2:p.Arg140Gln"),
    "IDH2 R172K": _small("IDH2", "NM_002168.4:c.515G>A", "NP_002159.2:p.Arg172Lys"),
    "KIT V559D": _small("KIT", "NM_000222.3:c.1676T>A", "NP_000213.1:p.Val559Asp"),
    "KIT A502_Y503dup": _small("KIT", "NM_000222.3:c.1504_1509dup", "NP_000213.1:p.Ala502_Tyr503dup"),
    "KRAS G12C": _small("KRAS", "NM_004985.5:c.34G>T", "NP_004976.2:p.Gly12Cys", "NC_000012.12:g.25245351C>A"),
    "KRAS G12D": _small("KRAS", "NM_004985.5:c.35G>A", "NP_004976.2:p.Gly12Asp", "NC_000012.12:g.25245350C>T"),
    "KRAS G12V": _small("KRAS", "NM_004985.5:c.35G>T", "NP_004976.2:p.Gly12Val", "NC_000012.12:g.25245350C>A"),
    "KRAS G12R": _small("KRAS", "NM_004985.5:c.34G>C", "NP_004976.2:p.Gly12Arg", "NC_000012.12:g.25245351C>G"),
    "KRAS G13D": _small("KRAS", "NM_004985.5:c.38G>A", "NP_004976.2:p.Gly13Asp"),
    "NPM1 W288fs": _small("NPM1", "NM_002520.7:c.860_863dup", "NP_002511.1:p.Trp288fs"),
    "NRAS Q61R": _small("NRAS", "NM_002524.5:c.182A>G", "NP_002515.1:p.Gln61Arg"),
    "NRAS Q61K": _small("NRAS", "NM_002524.5:c.181C>A", "NP_002515.1:p.Gln61Lys"),
    "PDGFRA D842V": _small("PDGFRA", "NM_006206.6:c.2525A>T", "NP_006197.1:p.Asp842Val"),
    "PIK3CA E545K": _small("PIK3CA", "NM_006218.4:c.1633G>A", "NP_006209.2:p.Glu545Lys"),
    "PIK3CA H1047R": _small(
        "PIK3CA", "NM_006218.4:c.3140A>G", "NP_006209.2:p.His1047Arg", "NC_000003.12:g.179234297A>G"
    ),
    "SMO W535L": _small("SMO", "NM_005631.5:c.1604G>T", "NP_005622.1:p.Trp535Leu"),
    "TERT c.-124C>T": _small("TERT", "NM_198253.3:c.-124C>T", ""),
    "TP53 R175H": _small("TP53", "NM_000546.6:c.524G>A", "NP_000537.3:p.Arg175His", "NC_000017.11:g.7675088C>T"),
    "TP53 R248Q": _small("TP53", "NM_000546.6:c.743G>A", "NP_000537.3:p.Arg248Gln", "NC_000017.11:g.7674220C>T"),
    "TP53 R273H": _small("TP53", "NM_000546.6:c.818G>A", "NP_000537.3:p.Arg273His", "NC_000017.11:g.7673802C>T"),
    "TP53 R337H": _small("TP53", "NM_000546.6:c.1010G>A", "NP_000537.3:p.Arg337His", germline=True),
    "BCR::ABL1": Variant(("BCR", "ABL1")),
    "EML4::ALK": Variant(("EML4", "ALK")),
    "ETV6::NTRK3": Variant(("ETV6", "NTRK3")),
    "ETV6::RUNX1": Variant(("ETV6", "RUNX1")),
    "EWSR1::FLI1": Variant(("EWSR1", "FLI1")),
    "KIAA1549::BRAF": Variant(("KIAA1549", "BRAF")),
    "PAX3::FOXO1": Variant(("PAX3", "FOXO1")),
    "TMPRSS2::ERG": Variant(("TMPRSS2", "ERG")),
    # One partner reported, as most panels do.
    "FGFR2 fusion": Variant(("FGFR2",)),
    "KMT2A rearrangement": Variant(("KMT2A",)),
    "NTRK1 fusion": Variant(("NTRK1",)),
    "RET fusion": Variant(("RET",)),
    "ROS1 fusion": Variant(("ROS1",)),
    "CDKN2A loss": Variant(("CDKN2A",), copies=0),
    "EGFR amplification": Variant(("EGFR",), copies=24),
    "ERBB2 amplification": Variant(("ERBB2",), copies=14),
    "MET amplification": Variant(("MET",), copies=11),
    "MYC amplification": Variant(("MYC",), copies=9),
    "MYCN amplification": Variant(("MYCN",), copies=38),
    "PTEN loss": Variant(("PTEN",), copies=0),
    "RB1 loss": Variant(("RB1",), copies=1),
}

# Panels: the genes each assay looks at. A gene outside the panel of a report is unknown, not absent.
PANELS: dict[str, tuple[str, ...]] = {
    name: tuple(genes.split())
    for name, genes in {
        "Solid tumour panel, 43 genes": (
            "ALK APC ARID1A ATM BRAF BRCA1 BRCA2 CDH1 CDKN2A CTNNB1 EGFR ERBB2 ESR1 FGFR1 FGFR2 FGFR3 IDH1 IDH2 KIT "
            "KRAS MET MLH1 MSH2 MSH6 MYC NF1 NRAS NTRK1 NTRK2 NTRK3 PALB2 PDGFRA PIK3CA PMS2 PTEN RB1 RET ROS1 SMAD4 "
            "STK11 TERT TP53 VHL"
        ),
        "Hotspot panel, 8 genes": "BRAF EGFR ERBB2 KIT KRAS NRAS PIK3CA TP53",
        "Central nervous system panel, 24 genes": (
            "ALK ATRX BRAF CDKN2A CIC CTNNB1 EGFR FGFR1 H3-3A IDH1 IDH2 MET MYC MYCN NF1 NTRK1 NTRK2 NTRK3 PTCH1 PTEN "
            "SMO SUFU TERT TP53"
        ),
        "Haematology panel, 18 genes": (
            "ABL1 BCR BRAF CRLF2 DIS3 DNMT3A ETV6 FLT3 IDH1 IDH2 JAK2 KIT KMT2A KRAS NPM1 NRAS RUNX1 TP53"
        ),
        "Paediatric tumour panel, 25 genes": (
            "ALK ATRX BRAF CDKN2A CTNNB1 ETV6 EWSR1 FGFR1 FLI1 FOXO1 IDH1 KRAS MET MYC MYCN NF1 NRAS NTRK1 NTRK2 NTRK3 "
            "PAX3 PDGFRA RB1 TP53 WT1"
        ),
        "Prostate panel, 12 genes": "AR ATM BRCA1 BRCA2 ERG MSH2 MSH6 PALB2 PTEN RB1 TMPRSS2 TP53",
    }.items()
}


def label(key: str) -> str:
    """The name a laboratory would print for a variant of VARIANTS."""
    return f"{key} fusion" if "::" in key else key
