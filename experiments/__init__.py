"""One file per run: its docstring has command, hardware, time and measured result."""
