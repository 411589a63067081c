"""Hypothesis without deadlines, since the machine may do other work, and with the same examples each run."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("governance", deadline=None, derandomize=True)
settings.load_profile("governance")
