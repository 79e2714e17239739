"""The operations, one file each under its name, and the literal list of them (table.py). https://hl7.org/fhir/R4/operations.html"""
