"""The GPU that is not there: what the program finds where it looks for one."""
