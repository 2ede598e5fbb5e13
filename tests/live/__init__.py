"""Tests against a server in processes of its own, over real sockets."""
