"""The transport: sends commands to their nodes, retries and resends them, and detects what a failover lost."""
