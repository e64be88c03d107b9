"""The settings: pydantic models, the specification made from them, and the rules across settings."""
