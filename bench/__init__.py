"""Measures this software against stated goals, beside what it replaces, on the testbed's own parts."""
