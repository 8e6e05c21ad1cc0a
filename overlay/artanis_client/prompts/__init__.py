"""Prompts in production (the cache) and beside code (files of a directory)."""
