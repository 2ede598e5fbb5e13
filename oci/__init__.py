"""The protocol's own words: digests, names, media types, documents, errors and the base view. No models."""
