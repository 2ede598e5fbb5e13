"""Real client programs against a live server; `scripts/install-clients` gets the programs."""
