#!/usr/bin/env python3
"""Brings a data set into the form that training jobs read: channels of files, with checksums.

    prepare_data.py cifar10                 the authors' archive (170 MB), downloaded into data/
    prepare_data.py cub200                  the same (1.2 GB), photographs
    prepare_data.py cub200 --from DIR       DIR holds the published files, or is the parent of their folder
    prepare_data.py cub200 --sample         a drawn stand-in, for first contact without a download

CIFAR-10, in the channels train and validation:

    --format fixed        the published records of 3,073 bytes one after another: label, red, green, blue (.bin)
    --format tfrecord     Examples with `image`, 32 x 32 x 3 bytes, and `label`, an int64 (.tfrecord)
    --format recordio     the published records as payloads of RecordIO (.rec)

CUB-200-2011, in the channels train, validation (split off train) and test; docs/photographs.md has every field:

    --format jpeg         the photographs and index.jsonl, and <channel>.manifest, an augmented manifest for Pipe mode
    --format tfrecord     Examples with `image`, a JPEG, `label`, `box` and `key` (.tfrecord)
    --format recordio     JPEG, label, box and key of each photograph as four records of RecordIO (.rec)

Writes OUT/<channel>/ and OUT/manifest.json, all or nothing; called again with the same source and options, it does
nothing.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainjob.errors import TrainJobError

from scripts.datasets import cub200, shards
from scripts.datasets.catalogue import DATASETS, Dataset, default_form
from scripts.datasets.forms import JPEG
from scripts.datasets.shards import SHARDS, Sharding

ROOT = Path(__file__).resolve().parents[1]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Bring a data set into the form that training jobs read.")
    datasets = parser.add_subparsers(dest="dataset", required=True)
    for name, dataset in DATASETS.items():
        _add_common(datasets.add_parser(name), dataset)
    photographs = datasets.choices["cub200"]
    photographs.add_argument(
        "--short-side", type=int, metavar="N", help="bring larger photographs to it, once, at quality 90 (256 to 512)"
    )
    photographs.add_argument(
        "--validation",
        type=float,
        default=cub200.VALIDATION,
        metavar="SHARE",
        help="of each class's train part that becomes the validation part (%(default)s)",
    )
    photographs.add_argument(
        "--uri",
        metavar="PREFIX",
        help="what source-ref begins with, as s3://bucket/prefix (default: the folder)",
    )
    return parser.parse_args(argv)


def _add_common(parser: argparse.ArgumentParser, dataset: Dataset) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--from", dest="folder", type=Path, metavar="DIR", help="the published files, or their parent")
    source.add_argument("--sample", action="store_true", help="draw a stand-in instead of downloading")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where it goes (default: data/<dataset>[-FORMAT])")
    default = default_form(dataset).name
    parser.add_argument("--format", choices=dataset.FORMS, default=default, help="of the records (%(default)s)")
    parser.add_argument("--shards", type=int, metavar="N", help=f"files of the train channel (default: {SHARDS})")
    parser.add_argument(
        "--shard-mb", type=float, metavar="M", help="in their place: most millions of bytes of any file"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prepares the data set and says what there is now."""
    arguments = _parse(argv)
    dataset = DATASETS[arguments.dataset]
    form = dataset.FORMS[arguments.format]
    out = arguments.out or ROOT / "data" / form.folder(arguments.dataset)
    try:
        sharding = Sharding(form=form, shards=arguments.shards, shard_mb=arguments.shard_mb)
        if arguments.folder:
            source = dataset.Published(arguments.folder)
        elif arguments.sample:
            source = dataset.Drawn()
        else:
            source = dataset.Downloaded(out.parent)
        manifest = dataset.prepare(source, out, sharding, **_treatment(arguments))
    except TrainJobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as a shell counts an interrupt; a download goes on from there next time
    for channel, files in manifest["channels"].items():
        records = shards.count_records(manifest, channel)
        size = sum(file["bytes"] for file in files) / 1e6
        print(f"{out / channel}/: {records:,} records, {form.name}, {size:.1f} MB in {len(files):,} file(s)")
    if form is JPEG:
        print(f"for Pipe mode: {out}/<channel>.manifest, whose source-ref begin with {manifest['uri']}/")
    return 0


def _treatment(arguments: argparse.Namespace) -> dict[str, Any]:
    """Options that photographs alone have."""
    if arguments.dataset != "cub200":
        return {}
    given = {"short_side": arguments.short_side, "validation": arguments.validation, "uri": arguments.uri}
    return {"treatment": cub200.Treatment(**given)}


if __name__ == "__main__":
    sys.exit(main())
