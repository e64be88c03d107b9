"""The Airbyte protocol: input, messages, the catalog, schemas, cursors and which streams are complete."""
