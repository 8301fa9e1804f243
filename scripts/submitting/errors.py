"""What is wrong with what a person wants to submit."""


class SubmitError(Exception):
    """A job cannot be submitted, for a reason that the person who typed the command can remove."""
