"""What an engineer does from a laptop or CI; each module is a program, and importing one does nothing."""
