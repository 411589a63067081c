"""Multi-LoRA engines: the port, its adapters, the proofs that an adapter is served or gone, and a double."""
