"""Model Ecology: a Kubernetes operator that governs a population of LoRA specialists."""

__version__ = "0.1.0"
