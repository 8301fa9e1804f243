"""Channels of requests, what a program read of them, and RecordIO as the contract writes it."""

MAGIC = bytes.fromhex("0a23d7ce")
FILES = {f"{letter}.bin": letter.encode() * 3 for letter in "abcdefgh"}


def channel(name, uri, *, kind="S3Prefix", attributes=None, distribution=None, **fields):
    """An entry of InputDataConfig."""
    source = {"S3DataType": kind, "S3Uri": str(uri)}
    if attributes:
        source["AttributeNames"] = attributes
    if distribution:
        source["S3DataDistributionType"] = distribution
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **fields}


def streams(lab, *channels, epochs=1, **fields):
    """What a program read from each Pipe channel: the bytes of its first epochs."""
    found = lab.run(["streams", epochs], InputDataConfig=list(channels), **fields).report["streams"]
    return {name: [bytes.fromhex(text) for text in texts] for name, texts in found.items()}


def failure(lab, *channels):
    """Why the job fails when its program reads its channels."""
    described = lab.run(["streams"], InputDataConfig=list(channels)).description
    assert described["TrainingJobStatus"] == "Failed"
    return described["FailureReason"]


def record(payload):
    """A RecordIO frame, written from the contract's table."""
    return MAGIC + len(payload).to_bytes(4, "little") + payload + bytes(-len(payload) % 4)


def records(stream):
    """Payloads of a RecordIO stream of whole records."""
    payloads = []
    while stream:
        assert stream[:4] == MAGIC
        length = int.from_bytes(stream[4:8], "little")
        payloads.append(stream[8 : 8 + length])
        stream = stream[8 + length + -length % 4 :]
    return payloads
