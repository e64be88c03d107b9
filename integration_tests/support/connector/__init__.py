"""The connector as users run it: a process, the command line, a library."""
