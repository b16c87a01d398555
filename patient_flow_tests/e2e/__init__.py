"""End to end: the project's commands as real processes, the real protocol, real kills."""
