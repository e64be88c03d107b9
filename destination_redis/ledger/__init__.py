"""The ledger: what of a stream is committed and staged, and who may write it."""
