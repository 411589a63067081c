"""Images for the testbed's cluster, built on this machine: nothing is pulled."""
