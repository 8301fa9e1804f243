from pathlib import Path

import pytest
from trainjob import cub200
from trainjob.errors import DatasetError

TREE = {
    "images.txt": "1 001.Auk/a_1.jpg\n2 001.Auk/a_2.jpg\n7 003.Owl/o_1.jpg\n4 003.Owl/o_2.jpg\n",
    "classes.txt": "1 001.Auk\n2 002.Rook\n3 003.Owl\n",
    "image_class_labels.txt": "1 1\n2 1\n4 3\n7 3\n",
    "train_test_split.txt": "1 1\n2 0\n4 0\n7 1\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n2 0.0 0.0 5.0 6.0\n4 1.5 2.0 3.0 4.0\n7 9.0 8.0 7.0 6.0\n",
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The published layout with four photographs of two of its three classes; that they are none nobody sees."""
    for name, text in TREE.items():
        (tmp_path / name).write_text(text)
    for line in TREE["images.txt"].splitlines():
        path = tmp_path / "images" / line.split()[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_photographs_come_in_the_order_of_images_txt_with_what_the_files_say_by_id(published: Path):
    read = cub200.read(published)

    assert read.classes == ("001.Auk", "002.Rook", "003.Owl")
    assert [(one.key, one.label, one.box, one.train) for one in read.photographs] == [
        ("001.Auk/a_1.jpg", 0, (60, 27, 325, 304), True),
        ("001.Auk/a_2.jpg", 0, (0, 0, 5, 6), False),
        ("003.Owl/o_1.jpg", 2, (9, 8, 7, 6), True),
        ("003.Owl/o_2.jpg", 2, (1.5, 2, 3, 4), False),
    ]
    assert read.path(read.photographs[0]).read_bytes() == b"x"


def test_photograph_that_images_txt_does_not_name_is_not_there(published: Path):
    (published / "images" / "001.Auk" / "another.jpg").write_bytes(b"")

    assert len(cub200.read(published).photographs) == 4


def test_blank_lines_and_ends_of_lines_from_elsewhere_do_no_harm(published: Path):
    for name, text in TREE.items():
        (published / name).write_bytes(text.replace("\n", "\r\n").encode() + b"\r\n")

    assert [one.label for one in cub200.read(published).photographs] == [0, 0, 2, 2]


def test_real_photographs_are_read_as_their_authors_divide_them(real_birds: Path):
    read = cub200.read(real_birds / cub200.FOLDER)

    whole = len(read.photographs) == cub200.TRAIN_PHOTOGRAPHS + cub200.TEST_PHOTOGRAPHS
    train, test = (cub200.TRAIN_PHOTOGRAPHS, cub200.TEST_PHOTOGRAPHS) if whole else (300, 243)
    assert len(read.classes) == cub200.CLASSES
    assert [sum(one.train is part for one in read.photographs) for part in (True, False)] == [train, test]
    assert all(one.key.startswith(f"{one.label + 1:03d}.") for one in read.photographs)


WRONG_LINES = [
    ("images.txt", "1 001.Auk/a_1.jpg\n2\n", r"images\.txt, line 2 is '2'; it must be an id and a path"),
    ("images.txt", "1 ../a_1.jpg\n", r"images\.txt, line 1 is '1 \.\./a_1\.jpg'"),
    ("images.txt", "1 /etc/passwd\n", r"images\.txt, line 1 is '1 /etc/passwd'"),
    ("images.txt", "1 a_1.jpg\n", r"images\.txt, line 1 is '1 a_1\.jpg'"),
    ("images.txt", "1 001.Auk/a_1.jpg\n1 001.Auk/a_2.jpg\n", r"images\.txt, line 2 gives id 1 a second time"),
    ("images.txt", "\n", r"images\.txt has no lines"),
    ("classes.txt", "1 001.Auk\n3 003.Owl\n", r"classes\.txt has 2 classes that are not numbered 1 to 2"),
    ("classes.txt", "1 ..\n", r"classes\.txt, line 1 is '1 \.\.'"),
    ("image_class_labels.txt", "1 1\n2 one\n", r"image_class_labels\.txt, line 2 is '2 one'; it must be an id and the"),
    (
        "train_test_split.txt",
        "1 1\n\n2 2\n",
        r"train_test_split\.txt, line 3 is '2 2'; it must be an id and 1 \(train\)",
    ),
    ("bounding_boxes.txt", "1 1 2 3\n", r"bounding_boxes\.txt, line 1 is '1 1 2 3'; it must be an id, left, top"),
    ("bounding_boxes.txt", "1 1 2 nan 4\n", r"bounding_boxes\.txt, line 1 is '1 1 2 nan 4'"),
    ("bounding_boxes.txt", "1 1 2 3 0\n", r"bounding_boxes\.txt, line 1 is '1 1 2 3 0'"),
]


@pytest.mark.parametrize(("name", "text", "said"), WRONG_LINES)
def test_malformed_line_is_named_by_its_number_and_quoted(name: str, text: str, said: str, published: Path):
    (published / name).write_text(text)

    with pytest.raises(DatasetError, match=said):
        cub200.read(published)


DISAGREEMENTS = [
    ("train_test_split.txt", "1 1\n2 0\n4 0\n", r"train_test_split\.txt disagrees with images\.txt: it lacks id 7;"),
    ("image_class_labels.txt", "1 1\n", r"image_class_labels\.txt disagrees .*: it lacks ids 2, 7, 4;"),
    (
        "bounding_boxes.txt",
        TREE["bounding_boxes.txt"] + "8 1 1 1 1\n9 1 1 1 1\n",
        r"bounding_boxes\.txt disagrees .*: it has ids 8, 9, which images\.txt does not name",
    ),
    (
        "train_test_split.txt",
        "".join(f"{number} 1\n" for number in range(2, 10)),
        r"it lacks id 1 and has ids 3, 5, 6, 8, 9, which",
    ),
]


@pytest.mark.parametrize(("name", "text", "said"), DISAGREEMENTS)
def test_file_that_disagrees_with_images_txt_is_named_with_the_ids(name: str, text: str, said: str, published: Path):
    (published / name).write_text(text)

    with pytest.raises(DatasetError, match=said):
        cub200.read(published)


def test_long_list_of_ids_is_cut(published: Path):
    extra = "".join(f"{number} 1\n" for number in range(10, 20))
    (published / "train_test_split.txt").write_text(TREE["train_test_split.txt"] + extra)

    with pytest.raises(DatasetError, match="ids 10, 11, 12, 13, 14 and 5 more, which"):
        cub200.read(published)


@pytest.mark.parametrize("label", [0, 4, -1])
def test_label_outside_the_classes_is_named_with_its_photograph(label: int, published: Path):
    (published / "image_class_labels.txt").write_text(f"1 1\n2 {label}\n4 3\n7 3\n")

    said = (
        rf"image_class_labels\.txt gives id 2 \(001\.Auk/a_2\.jpg\) the class {label}, but classes\.txt has .* 1 to 3"
    )
    with pytest.raises(DatasetError, match=said):
        cub200.read(published)


def test_label_of_another_class_than_the_folder_is_refused(published: Path):
    (published / "image_class_labels.txt").write_text("1 1\n2 3\n4 3\n7 3\n")

    with pytest.raises(DatasetError, match=r"gives id 2 the class 3, 003\.Owl, but images\.txt has it .*001\.Auk/a_2"):
        cub200.read(published)


def test_photograph_that_is_not_there_is_named(published: Path):
    (published / "images" / "003.Owl" / "o_2.jpg").unlink()

    with pytest.raises(DatasetError, match=r"images\.txt names 003\.Owl/o_2\.jpg, but there is no file /.*o_2\.jpg"):
        cub200.read(published)


def test_photograph_without_bytes_is_named(published: Path):
    (published / "images" / "003.Owl" / "o_2.jpg").write_bytes(b"")

    with pytest.raises(DatasetError, match=r"images/003\.Owl/o_2\.jpg is empty \(0 bytes\)"):
        cub200.read(published)


def test_photograph_that_is_named_twice_is_refused(published: Path):
    (published / "images.txt").write_text(TREE["images.txt"].replace("o_2", "o_1"))

    with pytest.raises(DatasetError, match=r"images\.txt names 003\.Owl/o_1\.jpg twice"):
        cub200.read(published)


def test_class_folder_without_images_is_named(published: Path):
    (published / "images" / "002.Rook").mkdir()

    with pytest.raises(DatasetError, match=r"The class folder .*/images/002\.Rook has no images"):
        cub200.read(published)


def test_class_without_images_for_training_is_named(published: Path):
    (published / "train_test_split.txt").write_text("1 1\n2 0\n4 0\n7 0\n")

    with pytest.raises(DatasetError, match=r"train_test_split\.txt leaves no photograph for training to 003\.Owl"):
        cub200.read(published)


def test_files_that_are_not_there_are_named(published: Path):
    (published / "classes.txt").unlink()
    (published / "bounding_boxes.txt").unlink()

    with pytest.raises(DatasetError, match=r"lacks classes\.txt, bounding_boxes\.txt; expected"):
        cub200.read(published)


def test_file_that_is_no_text_is_named(published: Path):
    (published / "classes.txt").write_bytes(b"1 001.\xff\n")

    with pytest.raises(DatasetError, match=r"classes\.txt is not text in UTF-8"):
        cub200.read(published)
