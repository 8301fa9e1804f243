"""Metrics as the platform takes them: numbers in log lines, and the regular expressions that find them there."""

import re
import sys
from collections.abc import Iterable, Mapping

NAMES = ("train:loss", "train:accuracy", "validation:loss", "validation:accuracy")

_WORD = re.compile(r"[^\s=;]+")
# MPI puts `[1,mpirank:0,algo-1]<stdout>:` before a line, without a space.
_START = r"(?:^|\s|>:)"
_NUMBER = r"(-?(?:[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?|inf|nan))"


def line(values: Mapping[str, float], /, **context: float | str) -> str:
    """One log line, such as `epoch=3 seconds=4.2 train:loss=1.2345; train:accuracy=0.5532;`.

    A metric ends in a semicolon, so that no line cut short gives a wrong number; context does not, so that no
    definition takes it for a metric. Numbers have six significant digits.

    Raises:
        ValueError: A name or a text holds a space, `=` or `;`, which would make the line ambiguous.
    """
    described = [f"{_word(name)}={_shown(value)}" for name, value in context.items()]
    measured = [f"{_word(name)}={float(value):.6g};" for name, value in values.items()]
    return " ".join(described + measured)


def emit(values: Mapping[str, float], /, **context: float | str) -> None:
    """Print the line to stdout at once: a pipe would else hold it back until the job is over.

    In one piece: `print` would write the line's end by itself where PYTHONUNBUFFERED is set, and what another thread or
    process says meanwhile, as of a signal, would stand on the same line.
    """
    sys.stdout.write(line(values, **context) + "\n")
    sys.stdout.flush()


def definitions(names: Iterable[str] = NAMES) -> list[dict[str, str]]:
    """MetricDefinitions for CreateTrainingJob that find what `line` writes."""
    return [{"Name": name, "Regex": f"{_START}{re.escape(name)}={_NUMBER};"} for name in names]


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return _word(value)
    return str(value) if isinstance(value, int) else f"{float(value):.6g}"


def _word(text: str) -> str:
    if not _WORD.fullmatch(text):
        raise ValueError(f"'{text}' cannot stand in a metrics line: it must be one word without '=' and ';'")
    return text
