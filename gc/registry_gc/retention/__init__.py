"""Retention: which tags a policy keeps and deletes, and why."""
