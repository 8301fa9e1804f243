"""How a job that is interrupted again and again is run, counted and drawn."""
