"""The command line. Nothing imports it; it alone maps errors to exit codes."""
