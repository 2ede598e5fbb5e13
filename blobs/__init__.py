"""Blobs, upload sessions and the storage that keeps their bytes."""
