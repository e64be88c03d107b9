"""The console: command-line arguments, standard output and standard error."""
