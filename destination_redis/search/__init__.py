"""Search indexes: their definition by a stream's schema, and their maintenance during a sync."""
