"""Augmented manifests: what a line gives for each attribute, and how a bad line is named."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_mode.channels import inflate
from local_mode.channels.augmented import AugmentedManifest, Reference
from local_mode.channels.objects import ObjectError

GOLDEN = """{"image-ref": "s3://bkt/img/a.jpg", "label": 3, "meta": {"ignored": true}}
{"image-ref": "s3://bkt/img/b.jpg", "label": 0}
"""


def opened(text, *attributes, folder="/nowhere"):
    data = text if isinstance(text, bytes) else text.encode()
    return AugmentedManifest(io.BytesIO(data), "/list", attributes, folder)


def entries(manifest):
    return [manifest.entry(index) for index in range(len(manifest))]


def test_golden_example_of_the_contract():
    manifest = opened(GOLDEN, "image-ref", "label")

    assert entries(manifest) == [
        [Reference("s3://bkt/img/a.jpg", "/list, line 1, attribute 'image-ref'"), b"3"],
        [Reference("s3://bkt/img/b.jpg", "/list, line 2, attribute 'image-ref'"), b"0"],
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blank_lines_are_skipped_and_lines_come_in_any_order(end):
    manifest = opened(f'{end} {end}{{"a": 1}}{end}{end}\t{end}{{"a": 2}}{end}{{"a": 3}}', "a")

    assert [manifest.entry(index) for index in (2, 0, 1, 0)] == [[b"3"], [b"1"], [b"2"], [b"1"]]


def test_long_manifest_is_kept_in_a_file_that_nobody_sees(tmp_path, monkeypatch):
    monkeypatch.setattr(inflate, "SPOOLED_BYTES", 1000)
    manifest = opened("".join(f'{{"a": {number}}}\n\n' for number in range(3000)), "a", folder=tmp_path)

    assert len(manifest) == 3000
    assert list(tmp_path.iterdir()) == []
    assert manifest.entry(2999) == [b"2999"]
    assert manifest.entry(17) == [b"17"]
    manifest._text.close()


def test_line_of_a_long_manifest_is_numbered_as_in_an_editor(tmp_path, monkeypatch):
    monkeypatch.setattr(inflate, "SPOOLED_BYTES", 1000)
    manifest = opened("{}\n\n" * 3000, "a", folder=tmp_path)
    with pytest.raises(ObjectError, match="^/list, line 5999 has no attribute 'a'"):
        manifest.entry(2999)
    manifest._text.close()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("1", "1"),
        ("1.50", "1.50"),
        ("1E+2", "1E+2"),
        ("-0", "-0"),
        ("9" * 5000, "9" * 5000),
        ("NaN", "NaN"),
        ('"a \\"b\\" \\u00e9"', 'a "b" é'),
        ('""', ""),
        ("null", "null"),
        ("false", "false"),
        ('{ "b" : [ 1.0, "x y" ], "a": {} }', '{"b":[1.0,"x y"],"a":{}}'),
        ('["\\u00e9", "\\""]', '["é","\\""]'),
    ],
)
def test_value_is_streamed_as_its_text(source, text):
    assert opened(f'{{"v": {source}}}', "v").entry(0) == [text.encode()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(value=JSON, ascii_only=st.booleans())
def test_any_value_is_one_piece_that_reads_back(value, ascii_only):
    (text,) = opened(json.dumps({"v": value}, ensure_ascii=ascii_only, indent=None), "v").entry(0)

    assert text.decode() == value if isinstance(value, str) else json.loads(text) == value


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"b": 1, "A-ref": 2}', "^/list, line 2 has no attribute 'a-ref', .* it has 'b', 'A-ref'.$"),
        (b"{}", "it has none.$"),
        (b'{"a-ref": 7.0}', "^/list, line 2: 'a-ref' is 7.0; it must be an object's URI.$"),
        (b'{"a-ref": ["s3://b/k"]}', "'a-ref' is .\"s3://b/k\".; it must be"),
        (b'{"a-ref": "x"', "^/list, line 2 is not JSON: .*; an augmented manifest has one object a line.$"),
        (b'"a-ref"', "^/list, line 2 is not a JSON object"),
        (b'{"a-ref": "\xff"}', "^/list, line 2 is not JSON: "),
        (b"[" * 100_000, "^/list, line 2 is not JSON: "),
    ],
)
def test_bad_line_is_named_with_what_is_wrong(line, message):
    manifest = opened(b'{"a-ref": "/x"}\n' + line, "a-ref")

    assert manifest.entry(0)[0].uri == "/x"
    with pytest.raises(ObjectError, match=message):
        manifest.entry(1)


def test_half_a_character_is_streamed_and_does_not_stop_the_channel():
    assert opened('{"v": "\\ud800"}', "v").entry(0) == [b"\xed\xa0\x80"]
