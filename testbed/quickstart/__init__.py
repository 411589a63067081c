"""The quickstart's data: small tasks with exact truth, the same bytes on every machine."""
