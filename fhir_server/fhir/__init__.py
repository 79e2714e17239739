"""The FHIR R4 specification as pure functions; imports nothing else of this program. https://hl7.org/fhir/R4/"""
