"""What answers users' requests: the CPU engine, and the gateway in a later release."""
