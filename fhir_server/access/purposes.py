"""Purposes of use, each with the one above it. http://terminology.hl7.org/CodeSystem/v3-ActReason

Beside HL7's there are ours, for being contacted: to look at a record for research is not to write to the person.
"""

from collections.abc import Mapping

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
CONTACT = "https://participation.example/fhir/CodeSystem/contact-purpose"

_BELOW: Mapping[str, str] = {
    "PurposeOfUse": "HMARKT HOPERAT HPAYMT HRESCH PATRQT PUBHLTH TREAT",
    "HOPERAT": "CAREMGT DONAT FRAUD GOV HACCRED HCOMPL HDECD HDIRECT HDM HLEGAL HOUTCOMS HPRGRP HQUALIMP HSYSADMIN "
    "MEMADMIN MILCDM PATADMIN PATSFTY PERFMSR RECORDMGT SYSDEV TRAIN",
    "HSYSADMIN": "LABELING METAMGT",
    "SYSDEV": "HTEST",
    "HPAYMT": "CLMATTCH COVAUTH COVERAGE REMITADV",
    "COVERAGE": "ELIGDTRM ELIGVER ENROLLM MILDCRG",
    "HRESCH": "BIORCH CLINTRCH DSRCH POARCH TRANSRCH",
    "CLINTRCH": "CLINTRCHNPC CLINTRCHPC PRECLINTRCH",
    "PATRQT": "FAMRQT PWATRNY SUPNWK",
    "PUBHLTH": "DISASTER THREAT",
    "TREAT": "CLINTRL COC ETREAT POPHLTH",
    "ETREAT": "BTG ERTREAT",
    # Ours. That a physician may be told of a trial does not say that the participant may be written to.
    "contact": "contact-trial contact-results contact-incidental",
    "contact-trial": "contact-trial-direct contact-trial-physician",
}
BROADER: Mapping[str, str] = {code: above for above, codes in _BELOW.items() for code in codes.split()}


def lineage(purpose: str) -> tuple[str, ...]:
    """The purpose and all above it, from the narrowest; of one that is not known, itself alone."""
    found = [purpose]
    while (above := BROADER.get(found[-1])) is not None:
        found.append(above)
    return tuple(found)


def known(system: str, code: str) -> bool:
    """Whether a Coding is a purpose that can be judged."""
    if system == CONTACT:
        return lineage(code)[-1] == "contact"
    return system == ACT_REASON and lineage(code)[-1] == "PurposeOfUse"


def is_research(purpose: str) -> bool:
    """Whether a research consent speaks of it: research itself, and being contacted about it."""
    return not {"HRESCH", "contact"}.isdisjoint(lineage(purpose))


def is_treatment(purpose: str) -> bool:
    """Whether it is care, an emergency included."""
    return "TREAT" in lineage(purpose)
