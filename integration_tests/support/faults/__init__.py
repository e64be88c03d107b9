"""Faults at any command, and syncs that have to survive them."""
