"""The console: arguments, standard output and standard error."""
