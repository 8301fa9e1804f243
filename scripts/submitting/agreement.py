"""Asks a person before something is sent that may cost more than was said."""

import sys

from scripts.environments.environment import say
from scripts.submitting.errors import SubmitError
from scripts.submitting.prices import Prices


def agree(what: str, usd: float | None, table: Prices, *, most: float, yes: bool) -> None:
    """Returns if it may be sent.

    Args:
        what: a word for it, such as "job".
        usd: what it costs at most; None where the table lacks one of its instances.
        table: where that is from.
        most: what was said that it may cost.
        yes: that nobody is to be asked.

    Raises:
        SubmitError: It may not, or nobody can be asked.
    """
    if usd is not None and usd <= most:
        return
    cost = f"up to {usd:.2f} USD" if usd is not None else "nobody knows what: prices.toml lacks its instances"
    text = f"The {what} may cost {cost}, by the prices of {table.region}, {table.date}, and MAX_USD is {most:g}"
    if yes:
        say(f"{text}; sent, as --yes says")
    elif not sys.stdin.isatty():
        raise SubmitError(f"{text}; give a larger MAX_USD (--max-usd), less MaxRuntimeInSeconds, or --yes")
    elif not is_yes(f"{text}. Send it? [y/N] "):
        raise SubmitError(f"{text}; not sent, as you said")


def is_yes(question: str) -> bool:
    """What a person at the terminal says; all but yes is no."""
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
