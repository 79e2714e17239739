"""Code systems and concept maps: what a code means in relation to others. https://hl7.org/fhir/R4/terminology-module.html"""
