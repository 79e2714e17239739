"""Files out of a store and into it: export as NDJSON, load of Bundles, resources and NDJSON."""
