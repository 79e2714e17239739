"""What a genomic variant is, apart from who asks about it: assemblies, alleles, places. Pure but for files it is given.

https://hl7.org/fhir/uv/genomics-reporting/operations.html
"""
