"""Tables out of resources: SQL on FHIR's ViewDefinitions. https://sql-on-fhir.org/ig/"""
