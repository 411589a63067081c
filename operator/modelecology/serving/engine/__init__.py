"""The CPU engine: one base model and many LoRA adapters behind vLLM's API, mixed in one batch."""
