"""Repositories, manifests, tags, tag history and referrers."""
