#!/usr/bin/env python3
"""Brings a data set into the form that training jobs stream: shards of records, with checksums.

    prepare_data.py cifar10                 the authors' archive (170 MB), downloaded into data/
    prepare_data.py cifar10 --from DIR      DIR holds the published files, or is the parent of their folder
    prepare_data.py cifar10 --sample        a drawn stand-in, for first contact without a download

    --format fixed        the published records of 3,073 bytes one after another: label, red, green, blue (.bin)
    --format tfrecord     Examples with `image`, 32 x 32 x 3 bytes, and `label`, an int64 (.tfrecord)
    --format recordio     the published records as payloads of RecordIO (.rec)

Writes OUT/train/part-000.bin ..., OUT/validation/part-000.bin and OUT/manifest.json, all or nothing; called again
with the same source, format and size of shards, it does nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.errors import TrainJobError

from scripts.datasets import cifar10, shards
from scripts.datasets.forms import FIXED, FORMS
from scripts.datasets.shards import SHARDS, Sharding

ROOT = Path(__file__).resolve().parents[1]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bring a data set into the form that training jobs stream.")
    parser.add_argument("dataset", choices=["cifar10"])
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="the published files, or their parent")
    source.add_argument("--sample", action="store_true", help="draw a stand-in instead of downloading")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the shards go (default: data/<dataset>[-FORMAT])"
    )
    parser.add_argument("--format", choices=FORMS, default=FIXED.name, help="of the records (%(default)s)")
    parser.add_argument("--shards", type=int, metavar="N", help=f"files of the train channel (default: {SHARDS})")
    parser.add_argument(
        "--shard-mb", type=float, metavar="M", help="in their place: most millions of bytes of any file"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Prepares the data set and says what there is now."""
    arguments = _parse(argv)
    form = FORMS[arguments.format]
    out = arguments.out or ROOT / "data" / form.folder(arguments.dataset)
    try:
        sharding = Sharding(form=form, shards=arguments.shards, shard_mb=arguments.shard_mb)
        if arguments.folder:
            source: cifar10.Source = cifar10.Published(arguments.folder)
        elif arguments.sample:
            source = cifar10.Drawn()
        else:
            source = cifar10.Downloaded(out.parent)
        manifest = cifar10.prepare(source, out, sharding)
    except TrainJobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt; a download goes on from there next time
    for channel, files in manifest["channels"].items():
        records = shards.count_records(manifest, channel)
        size = sum(file["bytes"] for file in files) / 1e6
        print(f"{out / channel}/: {records:,} records, {form.name}, {size:.1f} MB in {len(files)} file(s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
