"""Connections: redis-py clients made from the settings, for each kind of deployment."""
