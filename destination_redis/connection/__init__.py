"""Connections: from the settings to redis-py clients, for each kind of deployment."""
