"""What ends a push for a reason that lies outside this code."""


class PublishError(Exception):
    """An image cannot be pushed, for a reason that the person who typed the command can remove."""


class TransientError(PublishError):
    """What may go well when it is done once more."""
