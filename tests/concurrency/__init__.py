"""Races inside the domain functions: threads, real commits, PostgreSQL."""
