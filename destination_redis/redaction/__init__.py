"""Redaction: removes secrets and quotes of what was sent from text that leaves the process."""
