"""What serves a population: the gateway, which routes, and the CPU engine."""
