"""The official OCI conformance programs against a live server: `python -m tests.conformance`."""
