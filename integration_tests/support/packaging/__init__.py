"""The connector as it is shipped: the image, and environments with PyAirbyte."""
