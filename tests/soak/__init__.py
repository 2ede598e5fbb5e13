"""Several processes push, move, mount, delete and pull while collection runs without any delay and parts fail.

`python -m tests.soak` runs a real server with its database, its worker and its storage, lets clients work on it and
breaks one part after the other. Each client writes a journal; `checker` compares the journals with what is left, and
knows nothing of Lading's code.
"""
