"""Redaction: what leaves the process, without secrets and without what was sent."""
