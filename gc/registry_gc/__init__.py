"""Garbage collection and retention: the readers of the review rows that pushes and deletes write."""
