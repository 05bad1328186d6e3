"""Drawings of single chapters: pure functions from data to a matplotlib Figure."""
