#!/usr/bin/env python
"""Run a Lading command from a checkout; `lading` is the same program when installed."""

from registry_project.cli import main

if __name__ == "__main__":
    main()
