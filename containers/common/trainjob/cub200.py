"""CUB-200-2011 in its published layout: files, photographs, classes, statistics.

Source: https://www.vision.caltech.edu/datasets/cub_200_2011/ : 11,788 photographs of 200 species of birds. `images.txt`
gives each an id and a path below `images/`; four more files say by id which class it is, which part it belongs to and
where the bird is, and what the classes are called.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

from trainjob import metrics
from trainjob.errors import DatasetError

CLASSES = 200

FOLDER = "CUB_200_2011"
IMAGES = "images"
IMAGES_FILE = "images.txt"
CLASSES_FILE = "classes.txt"
LABELS_FILE = "image_class_labels.txt"
SPLIT_FILE = "train_test_split.txt"
BOXES_FILE = "bounding_boxes.txt"
FILES = (IMAGES_FILE, CLASSES_FILE, LABELS_FILE, SPLIT_FILE, BOXES_FILE)
TRAIN_PHOTOGRAPHS, TEST_PHOTOGRAPHS = 5_994, 5_794

# ImageNet's, as its photographs are of the same kind, and weights brought along were trained with them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

METRICS = (*metrics.NAMES, "validation:top5_accuracy", "test:loss", "test:accuracy", "test:top5_accuracy")
"""What a program for it reports."""

Box = tuple[float, float, float, float]
"""Left, top, width and height, in pixels."""
T = TypeVar("T")

_SHOWN_IDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Photograph:
    """What the files say of one photograph."""

    key: str
    """Its path below `images/`: the folder of its class, and its name."""
    label: int
    """From 0, in the order of `classes.txt`."""
    box: Box
    train: bool
    """Whether it belongs to the train part; else to the test part."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """The whole set, or a subset, as a folder in the published layout holds it."""

    folder: Path
    classes: tuple[str, ...]
    photographs: tuple[Photograph, ...]
    """In the order of `images.txt`."""

    def path(self, photograph: Photograph) -> Path:
        """Where the photograph lies."""
        return self.folder / IMAGES / photograph.key


def read(folder: Path) -> Published:
    """Read the files of a folder in the published layout, and check that they agree; no photograph is opened.

    `images.txt` is the authority: a file below `images/` that it does not name is not looked at.

    Raises:
        DatasetError: A file is missing, malformed or empty, or two of them disagree; names it, and the line or ids.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DatasetError(f"{folder} lacks {', '.join(missing)}; expected is the published layout of {FOLDER}")
    classes = _read_classes(folder / CLASSES_FILE)
    keys = _read(folder / IMAGES_FILE, _key, "an id and a path, such as '1 001.Some_Bird/Some_Bird_0001.jpg'")
    labels = _read(folder / LABELS_FILE, int, "an id and the number of a class, such as '1 1'")
    parts = _read(folder / SPLIT_FILE, _part, "an id and 1 (train) or 0 (test), such as '1 0'")
    boxes = _read(folder / BOXES_FILE, _box, "an id, left, top, width and height, such as '1 60.0 27.0 325.0 304.0'")
    for name, found in ((LABELS_FILE, labels), (SPLIT_FILE, parts), (BOXES_FILE, boxes)):
        _refuse_other_ids(folder / name, found, keys)
    for number in keys:
        _refuse_label(folder, number, labels[number], keys[number], classes)
    photographs = tuple(
        Photograph(key=key, label=labels[number] - 1, box=boxes[number], train=parts[number])
        for number, key in keys.items()
    )
    published = Published(folder=folder, classes=classes, photographs=photographs)
    _refuse_missing_files(published)
    _refuse_empty_classes(published)
    return published


def _read(path: Path, parse: Callable[[str], T], form: str) -> dict[int, T]:
    """What a file says of each id."""
    found: dict[int, T] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8: {error}; unpack the archive again") from None
    for line_number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            number, value = line.split(maxsplit=1)
            entry = (int(number), parse(value.strip()))
        except ValueError:
            raise DatasetError(f"{path}, line {line_number} is '{line}'; it must be {form}") from None
        if entry[0] in found:
            raise DatasetError(f"{path}, line {line_number} gives id {entry[0]} a second time; remove one of the lines")
        found[entry[0]] = entry[1]
    if not found:
        raise DatasetError(f"{path} has no lines; each must be {form}")
    return found


def _read_classes(path: Path) -> tuple[str, ...]:
    names = _read(path, _folder_name, "a number and the name of a class, such as '1 001.Some_Bird'")
    if list(names) != list(range(1, len(names) + 1)):
        raise DatasetError(f"{path} has {len(names)} classes that are not numbered 1 to {len(names)} in this order")
    return tuple(names.values())


def _folder_name(text: str) -> str:
    if "/" in text or text in (".", ".."):
        raise ValueError(text)
    return text


def _key(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or ".." in path.parts or len(path.parts) != 2 or "\0" in text:
        raise ValueError(text)
    return str(path)


def _part(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(text)
    return text == "1"


def _box(text: str) -> Box:
    left, top, width, height = map(float, text.split())
    if not (0 <= left < 1e6 and 0 <= top < 1e6 and 0 < width < 1e6 and 0 < height < 1e6):  # NaN is none of that
        raise ValueError(text)
    return left, top, width, height


def _refuse_other_ids(path: Path, found: Mapping[int, object], keys: Mapping[int, str]) -> None:
    lacking = [number for number in keys if number not in found]
    unknown = [number for number in found if number not in keys]
    wrong = [f"lacks {_ids(lacking)}"] if lacking else []
    wrong += [f"has {_ids(unknown)}, which {IMAGES_FILE} does not name"] if unknown else []
    if wrong:
        raise DatasetError(
            f"{path} disagrees with {IMAGES_FILE}: it {' and '.join(wrong)}; both must have the same ids, "
            f"also where {IMAGES_FILE} names a subset"
        )


def _refuse_label(folder: Path, number: int, label: int, key: str, classes: tuple[str, ...]) -> None:
    if not 1 <= label <= len(classes):
        raise DatasetError(
            f"{folder / LABELS_FILE} gives id {number} ({key}) the class {label}, but {CLASSES_FILE} has the classes "
            f"1 to {len(classes)}"
        )
    if not key.startswith(f"{classes[label - 1]}/"):
        raise DatasetError(
            f"{folder / LABELS_FILE} gives id {number} the class {label}, {classes[label - 1]}, but {IMAGES_FILE} has "
            f"it in another's folder: {key}"
        )


def _refuse_missing_files(published: Published) -> None:
    seen: set[str] = set()
    for photograph in published.photographs:
        path = published.path(photograph)
        if photograph.key in seen:
            raise DatasetError(f"{published.folder / IMAGES_FILE} names {photograph.key} twice; remove a line")
        seen.add(photograph.key)
        if not path.is_file():
            raise DatasetError(
                f"{published.folder / IMAGES_FILE} names {photograph.key}, but there is no file {path}; unpack the "
                "archive again, or take its line out of all files"
            )
        if path.stat().st_size == 0:
            raise DatasetError(f"{path} is empty (0 bytes); unpack the archive again")


def _refuse_empty_classes(published: Published) -> None:
    """Refuse a class that the files speak of without giving it anything to learn from.

    One that they do not speak of at all is what a subset leaves out.
    """
    trained = {photograph.label for photograph in published.photographs if photograph.train}
    tested = {photograph.label for photograph in published.photographs if not photograph.train}
    if untrained := sorted(tested - trained):
        names = _listed([published.classes[label] for label in untrained])
        raise DatasetError(
            f"{published.folder / SPLIT_FILE} leaves no photograph for training to {names}, whose photographs are all "
            "in the test part"
        )
    for folder in sorted((published.folder / IMAGES).iterdir()):
        if folder.is_dir() and next(folder.iterdir(), None) is None:
            raise DatasetError(
                f"The class folder {folder} has no images; unpack the archive again, or remove the folder where "
                f"{IMAGES_FILE} names a subset"
            )


def _ids(numbers: list[int]) -> str:
    return f"{'id' if len(numbers) == 1 else 'ids'} {_listed(map(str, numbers))}"


def _listed(items: Iterable[str]) -> str:
    known = list(items)
    more = len(known) - _SHOWN_IDS
    return ", ".join(known[:_SHOWN_IDS]) + (f" and {more} more" if more > 0 else "")
