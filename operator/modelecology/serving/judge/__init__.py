"""The judge: asks a model which of two answers to a mirrored request is better, and writes down its word."""
