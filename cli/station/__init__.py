"""Commands for the computer at the telescope: check it, and run at its start."""
