"""The Python environments that this project makes for itself. Standard library only."""
