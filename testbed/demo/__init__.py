"""The main job on this machine, from nothing to live specialists: what `make demo` runs."""
