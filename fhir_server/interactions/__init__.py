"""The RESTful interactions, one file each under its name in the specification. https://hl7.org/fhir/R4/http.html"""
