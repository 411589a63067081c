"""The kinds of the API group modelecology.io/v1alpha1, one module each.

Nothing is imported here: the pure core uses `reasons` and `vocabulary` without pydantic.
"""
