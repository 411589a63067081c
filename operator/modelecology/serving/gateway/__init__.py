"""The gateway: a population's OpenAI-compatible endpoint, which routes, mirrors, counts and fails closed."""
