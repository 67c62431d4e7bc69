"""One file per run: its docstring has the command, the hardware, the time and the measured result."""
