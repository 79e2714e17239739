"""FHIRPath in Python functions, for what is evaluated often: views and invariants. https://hl7.org/fhirpath/N1/"""
