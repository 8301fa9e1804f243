"""What this project's verbs made in an account, found again by its mark, and deleted."""
