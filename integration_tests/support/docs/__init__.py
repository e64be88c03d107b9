"""The documents taken apart, for tests that hold them to their word."""
