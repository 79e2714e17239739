"""The HTTP surface: routes, content negotiation, errors, and what is observed. https://hl7.org/fhir/R4/http.html"""
