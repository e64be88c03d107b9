"""The ledger: which records of a stream are committed and staged, and which sync may write it."""
