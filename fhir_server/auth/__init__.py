"""The SMART authorization server, and the checking of tokens. https://hl7.org/fhir/smart-app-launch/"""
