"""Tumours of the central nervous system, of children, adolescents and young adults. See tumours.py for the fields."""

from examples import tumours as t
from examples.tumours import Diagnosis, Tumour

CNS_AND_YOUNG = (
    Tumour(
        Diagnosis("Glioblastoma, IDH-wildtype", "GB", "C71.1", "393563007"),
        t.GLIOMA, t.BRAIN_SITE, (38, 82), (48, 68), 5, t.CNS,
        (("EGFR amplification", 0.4), ("TERT c.-124C>T", 0.75), ("PTEN loss", 0.35), ("CDKN2A loss", 0.5),
         ("BRAF V600E", 0.03)),
        (("temozolomide", 0.85), ("bevacizumab", 0.25)), asked=("bevacizumab",),
        hallmark=("EGFR amplification", "TERT c.-124C>T"), taken=("temozolomide",), stages=(),
    ),
    Tumour(
        Diagnosis("Astrocytoma, IDH-mutant", "ASTR", "C71.1"),
        t.GLIOMA, t.BRAIN_SITE, (20, 62), (28, 48), 3, t.CNS,
        (("IDH1 R132H", 0.9), ("TP53 R273H", 0.5), ("TP53 R175H", 0.3)),
        (("temozolomide", 0.6),), hallmark=("IDH1 R132H", "TP53 R273H"), taken=("temozolomide",), stages=(),
    ),
    Tumour(
        Diagnosis("Oligodendroglioma, IDH-mutant, and 1p/19q-codeleted", "ODG", "C71.2", "443936004"),
        t.GLIOMA, t.BRAIN_SITE, (24, 68), (32, 56), 2, t.CNS,
        (("IDH1 R132H", 0.9), ("IDH2 R172K", 0.08), ("TERT c.-124C>T", 0.9)),
        (("temozolomide", 0.5), ("vincristine", 0.3)), hallmark=("IDH2 R172K", "TERT c.-124C>T"), stages=(),
    ),
    Tumour(
        Diagnosis("Ependymoma", "EPM", "C71.7"),
        t.BRAIN, t.BRAIN_SITE, (2, 50), (6, 30), 2, t.CNS,
        (("CDKN2A loss", 0.15),), (("carboplatin", 0.3), ("etoposide", 0.2)), stages=(),
    ),
    Tumour(
        Diagnosis("Diffuse midline glioma, H3 K27-altered", "DMG", "C71.7"),
        t.BRAIN, t.BRAIN_SITE, (3, 34), (6, 20), 2, t.CNS,
        (("H3-3A K27M", 0.85), ("TP53 R248Q", 0.4)), (("temozolomide", 0.4),),
        hallmark=("H3-3A K27M",), stages=(),
    ),
    Tumour(
        Diagnosis("Pilocytic astrocytoma", "PAST", "C71.6"),
        t.BRAIN, t.CEREBELLUM_SITE, (2, 24), (6, 15), 3, t.CNS,
        (("KIAA1549::BRAF", 0.7), ("BRAF V600E", 0.07)),
        (("carboplatin", 0.4), ("vincristine", 0.4), ("vinblastine", 0.2)),
        asked=("selumetinib", "dabrafenib"), hallmark=("KIAA1549::BRAF",), taken=("carboplatin", "vincristine"),
        stages=(),
    ),
    Tumour(
        Diagnosis("Pleomorphic xanthoastrocytoma", "PXA", "C71.2"),
        t.BRAIN, t.BRAIN_SITE, (8, 40), (15, 17), 1, t.CNS,
        (("BRAF V600E", 0.7), ("CDKN2A loss", 0.6)), (("temozolomide", 0.2),),
        asked=("dabrafenib", "vemurafenib"), hallmark=("BRAF V600E", "CDKN2A loss"), stages=(),
    ),
    Tumour(
        Diagnosis("Medulloblastoma", "MBL", "C71.6", "443333004"),
        t.BRAIN, t.CEREBELLUM_SITE, (3, 28), (6, 14), 2, t.CNS,
        (("CTNNB1 S33Y", 0.12), ("SMO W535L", 0.08), ("MYC amplification", 0.1), ("MYCN amplification", 0.06)),
        (("cisplatin", 0.7), ("vincristine", 0.7), ("cyclophosphamide", 0.6)), stages=(),
    ),
    Tumour(
        Diagnosis("Neuroblastoma", "NBL", "C74.90", "432328008"),
        t.NERVE, ("23451007", "Adrenal structure"), (1, 11), (3, 6), 3, t.PAEDIATRIC,
        (("MYCN amplification", 0.22), ("ALK F1174L", 0.05), ("ALK R1275Q", 0.06)),
        (("cyclophosphamide", 0.7), ("doxorubicin", 0.6), ("etoposide", 0.5)), asked=("lorlatinib", "crizotinib"),
        hallmark=("ALK F1174L", "MYCN amplification"), taken=("cyclophosphamide", "doxorubicin"), stages=(),
    ),
    Tumour(
        Diagnosis("B-lymphoblastic leukemia", "BLL", "C91.00", "277571004"),
        t.LYMPHOID, t.MARROW_SITE, (1, 38), (6, 14), 4, t.BLOOD,
        (("ETV6::RUNX1", 0.2), ("BCR::ABL1", 0.08), ("KMT2A rearrangement", 0.05), ("KRAS G12D", 0.1)),
        (("vincristine", 0.9), ("methotrexate", 0.7), ("mercaptopurine", 0.6), ("daunorubicin", 0.5)),
        asked=("rituximab",), hallmark=("ETV6::RUNX1",), taken=("vincristine", "methotrexate", "mercaptopurine"),
        stages=(),
    ),
    Tumour(
        Diagnosis("Ewing sarcoma", "ES", "C41.4"),
        t.BONE, t.BONE_SITE, (7, 34), (16, 22), 3, t.PAEDIATRIC,
        (("EWSR1::FLI1", 0.85), ("CDKN2A loss", 0.15), ("TP53 R248Q", 0.1)),
        (("vincristine", 0.8), ("doxorubicin", 0.8), ("cyclophosphamide", 0.7), ("etoposide", 0.6)),
        hallmark=("EWSR1::FLI1",), taken=("vincristine", "doxorubicin", "cyclophosphamide"), stages=(),
    ),
    Tumour(
        Diagnosis("Osteosarcoma", "OS", "C40.21"),
        t.BONE, t.BONE_SITE, (9, 32), (13, 22), 2, t.PAEDIATRIC,
        (("RB1 loss", 0.25), ("MYC amplification", 0.15), ("TP53 R337H", 0.04)),
        (("doxorubicin", 0.85), ("cisplatin", 0.85), ("methotrexate", 0.7)), stages=(),
    ),
    Tumour(
        Diagnosis("Embryonal rhabdomyosarcoma", "ERMS", "C49.0"),
        t.SOFT_TISSUE, ("21793004", "Connective tissue structure"), (2, 16), (4, 10), 2, t.PAEDIATRIC,
        (("NRAS Q61R", 0.1), ("CTNNB1 S33Y", 0.04)), (("vincristine", 0.8), ("cyclophosphamide", 0.7)), stages=(),
    ),
    Tumour(
        Diagnosis("Alveolar rhabdomyosarcoma", "ARMS", "C49.20"),
        t.SOFT_TISSUE, ("21793004", "Connective tissue structure"), (6, 26), (10, 18), 1, t.PAEDIATRIC,
        (("PAX3::FOXO1", 0.6),), (("vincristine", 0.8), ("cyclophosphamide", 0.7)), stages=(),
    ),
    Tumour(
        Diagnosis("Wilms' tumor", "WT", "C64.9", "302849000"),
        t.KIDNEY, ("64033007", "Kidney structure"), (1, 8), (3, 6), 2, t.PAEDIATRIC,
        (("CTNNB1 S33Y", 0.12), ("TP53 R175H", 0.04)), (("vincristine", 0.8), ("doxorubicin", 0.4)),
    ),
    Tumour(
        Diagnosis("Infant-type hemispheric glioma", "IHG", "C71.0"),
        t.GLIOMA, t.BRAIN_SITE, (1, 3), (1, 2), 1, t.CNS,
        (("ETV6::NTRK3", 0.4), ("MET amplification", 0.05)), (("carboplatin", 0.5), ("vincristine", 0.5)),
        asked=("larotrectinib",), hallmark=("ETV6::NTRK3",), stages=(),
    ),
)  # fmt: skip
