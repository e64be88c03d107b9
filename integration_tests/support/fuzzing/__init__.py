"""Malformed and random input."""
