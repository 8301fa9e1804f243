"""How far an upload is, as a person sees it and as a log has it."""

import io

from scripts.publishing.engine import Event
from scripts.publishing.progress import PAUSE_SECONDS, Bars, Lines, choose

LAYERS = ("0123456789ab", "ba9876543210")


def test_log_has_a_line_for_each_layer_and_one_now_and_then():
    said, now = [], [0.0]
    with Lines(said.append, clock=lambda: now[0]) as lines:
        for layer in LAYERS:
            lines(Event(layer=layer, status="Preparing"))
        lines(Event(layer=LAYERS[0], status="Layer already exists"))
        lines(Event(layer=LAYERS[1], status="Pushing", done=1_000_000, total=6_000_000))
        now[0] = PAUSE_SECONDS
        lines(Event(layer=LAYERS[1], status="Pushing", done=3_000_000, total=6_000_000))
        lines(Event(layer=LAYERS[1], status="Pushing", done=4_000_000, total=6_000_000))
        lines(Event(layer=LAYERS[1], status="Pushed"))

    assert said == [
        f"layer {LAYERS[0]}: layer already exists",
        "1 of 2 layers there; 3 of 6 MB of 1 more",
        f"layer {LAYERS[1]}: pushed, 6.0 MB unpacked",
    ]


def test_log_tells_once_of_a_layer_that_the_engine_tries_again():
    said = []
    with Lines(said.append) as lines:
        for seconds in (5, 4, 3):
            lines(Event(layer=LAYERS[0], status=f"Retrying in {seconds} seconds"))

    assert said == [f"layer {LAYERS[0]}: broke off; retrying in 5 seconds"]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminal_has_one_bar_for_each_layer_which_ends_full():
    terminal = _Terminal()
    with choose(terminal, print) as bars:
        assert isinstance(bars, Bars)
        bars(Event(layer=LAYERS[0], status="Pushing", done=1_000_000, total=2_000_000))
        bars(Event(layer=LAYERS[1], status="Pushing", done=512, total=1024))
        bars(Event(layer=LAYERS[0], status="Pushing", done=2_100_000, total=2_000_000))
        bars(Event(layer=LAYERS[0], status="Pushed"))
        bars(Event(layer=LAYERS[1], status="Layer already exists"))

    shown = terminal.getvalue()
    assert all(layer in shown for layer in LAYERS)
    assert "100%" in shown
    assert "pushed" in shown


def test_stream_that_is_no_terminal_gets_lines():
    assert isinstance(choose(io.StringIO(), print), Lines)
