"""Retention: which tags a policy keeps and deletes, and why. What stands here so far needs no database."""
