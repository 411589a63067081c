"""A real vLLM server on the CPU, in an environment of its own: what the engine port is tested against.

``with VllmServer(model) as server:`` gives ``server.endpoint`` and ``server.token``. The first use installs
vLLM into the user's cache, which takes minutes and 6 GB.
"""

from testbed.vllm.server import VllmServer

__all__ = ["VllmServer"]
