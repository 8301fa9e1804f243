import io

import numpy as np
import pytest
from trainjob.framing import recordio, tfrecord
from trainjob.framing.records import Records


@pytest.mark.parametrize("framing", [tfrecord, recordio])
@pytest.mark.parametrize(
    "contents",
    [
        [b"one\0", b"\0\0\0\0", b"four"],
        [b"", b"one", b"a longer one", b"\0"],
        [b"", b""],
        [b"alone"],
    ],
)
def test_payloads_are_the_bytes_that_were_written(framing, contents):
    file = io.BytesIO()
    for content in contents:
        framing.write(file, content)
    file.seek(0)

    read = [payload for records in framing.read(file) for payload in records.payloads()]

    assert read == contents
    assert all(type(payload) is bytes for payload in read)


@pytest.mark.parametrize("lengths", [[4, 4], [4, 2]])
def test_payloads_outlive_the_buffer_they_came_from(lengths):
    data = np.frombuffer(b"-abcd-efgh", np.uint8).copy()
    records = Records(data, np.array([1, 6]), np.array(lengths), 0)

    payloads = records.payloads()
    data[:] = 0

    assert payloads.tolist() == [b"abcd", b"efgh"[: lengths[1]]]


def test_no_records_have_no_payloads():
    nothing = np.zeros(0, np.int64)

    assert Records(np.zeros(0, np.uint8), nothing, nothing, 0).payloads().tolist() == []
