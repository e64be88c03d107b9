"""The transport: pipelining, routing by slot, retries, resending, and what a failover lost."""
