"""What the command line can do, one module per command: `run(args, settings)` returns the exit code."""
