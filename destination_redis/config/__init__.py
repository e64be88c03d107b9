"""The settings: pydantic models, the specification generated from them, and the rules across settings."""
