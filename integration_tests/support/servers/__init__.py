"""Real servers: Redis and Valkey, alone, in clusters, behind sentinels, TLS and SSH."""
