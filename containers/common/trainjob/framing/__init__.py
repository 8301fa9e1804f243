"""From a stream of bytes to records; knows nothing of where the bytes come from."""
