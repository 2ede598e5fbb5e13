"""The benchmark: Lading beside Debian's docker-registry, on loopback. Run `python -m tests.bench --help`."""
