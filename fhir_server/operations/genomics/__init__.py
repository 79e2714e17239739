"""The genomics operations of HL7's Genomics Reporting guide. https://hl7.org/fhir/uv/genomics-reporting/operations.html"""
