"""The tumours of the cohort: how they are coded, whom they strike, what is found in them and how they are treated.

Frequencies are rounded general knowledge, good enough for an example and for nothing else. Diagnoses are coded in
OncoTree (release 2025_10_03), ICD-10-CM and, where we are sure of the code, SNOMED CT.
"""

from typing import NamedTuple


class Diagnosis(NamedTuple):
    """One diagnosis in up to three code systems; empty where a system has none that we are sure of."""

    name: str
    oncotree: str
    icd10cm: str
    snomed: str = ""


class Tumour(NamedTuple):
    """One kind of tumour. `findings` and `drugs` pair a key of VARIANTS or DRUGS with the chance that a patient has it.

    `asked` are medicines whose absence is recorded ("not taken"); `hallmark` and `taken` are what a textbook case has.
    """

    diagnosis: Diagnosis
    broader: Diagnosis
    site: tuple[str, str]
    ages: tuple[int, int]
    textbook_ages: tuple[int, int]
    weight: int
    panel: str
    findings: tuple[tuple[str, float], ...]
    drugs: tuple[tuple[str, float], ...]
    asked: tuple[str, ...] = ()
    hallmark: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    sex: str | None = None
    mutation_burden: tuple[float, float] = (0.5, 8.0)
    msi_high: float = 0.01
    stages: tuple[str, ...] = ("I", "II", "III", "IV", "IV")


SOLID = "Solid tumour panel, 43 genes"
CNS = "Central nervous system panel, 24 genes"
BLOOD = "Haematology panel, 18 genes"
PAEDIATRIC = "Paediatric tumour panel, 25 genes"
PROSTATE = "Prostate panel, 12 genes"

LUNG = Diagnosis("Lung cancer", "LUNG", "C34.90", "363358000")
BREAST = Diagnosis("Breast cancer", "BREAST", "C50.919", "254837009")
BOWEL = Diagnosis("Bowel cancer", "BOWEL", "C18.9", "363406005")
SKIN = Diagnosis("Melanoma", "MEL", "C43.9", "372244006")
OVARY = Diagnosis("Ovarian cancer", "OVARY", "C56.9", "363443007")
PROSTATE_CANCER = Diagnosis("Prostate cancer", "PROSTATE", "C61", "399068003")
PANCREAS = Diagnosis("Pancreatic cancer", "PANCREAS", "C25.9", "363418001")
BILIARY = Diagnosis("Biliary tract cancer", "BILIARY_TRACT", "C24.9")
LEUKAEMIA = Diagnosis("Myeloid neoplasm", "MYELOID", "C92.90")
LYMPHOID = Diagnosis("Lymphoid neoplasm", "LYMPH", "C91.90")
SOFT_TISSUE = Diagnosis("Soft tissue sarcoma", "SOFT_TISSUE", "C49.9", "424952003")
THYROID = Diagnosis("Thyroid cancer", "THYROID", "C73", "363478007")
BRAIN = Diagnosis("Brain tumour", "BRAIN", "C71.9")
GLIOMA = Diagnosis("Diffuse glioma", "DIFG", "C71.9")
NERVE = Diagnosis("Tumour of the peripheral nervous system", "PNS", "C47.9")
BONE = Diagnosis("Bone sarcoma", "BONE", "C41.9")
UTERUS = Diagnosis("Uterine cancer", "UTERUS", "C55", "371973000")
STOMACH = Diagnosis("Stomach cancer", "STOMACH", "C16.9", "363349007")
BLADDER = Diagnosis("Bladder cancer", "BLADDER", "C67.9", "399326009")
LIVER = Diagnosis("Liver cancer", "LIVER", "C22.9")
KIDNEY = Diagnosis("Kidney cancer", "KIDNEY", "C64.9")

LUNG_SITE = ("39607008", "Lung structure")
BREAST_SITE = ("76752008", "Breast structure")
COLON_SITE = ("71854001", "Colon structure")
SKIN_SITE = ("39937001", "Skin structure")
MARROW_SITE = ("14016003", "Bone marrow structure")
LIVER_SITE = ("10200004", "Liver structure")
BRAIN_SITE = ("12738006", "Brain structure")
CEREBELLUM_SITE = ("113305005", "Cerebellar structure")
BONE_SITE = ("272673000", "Bone structure")
