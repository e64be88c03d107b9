"""The command `write`: startup, the loop over the input, checkpoints and progress."""
