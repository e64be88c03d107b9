"""Search indexes: their definition from a stream's schema, and their maintenance during a sync."""
