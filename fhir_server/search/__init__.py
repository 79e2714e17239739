"""From URL to predicate, from resource to index entries; no I/O. https://hl7.org/fhir/R4/search.html"""
