import io
import tarfile

from scripts.images import contents
from tests.unit.scripts.images.saved import tar

FILES = {"./opt/a.py": b"a = 1\n", "opt/b": b""}


def read(archive: bytes) -> dict[str, contents.File]:
    return contents.read(io.BytesIO(archive))


def links(kind: bytes, target: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = kind, target
        archive.addfile(entry)
    return stream.getvalue()


def test_equal_files_have_no_differences_whenever_they_were_written():
    assert list(contents.differences(read(tar(FILES, mtime=1)), read(tar(FILES, mtime=2)))) == []


def test_each_difference_names_its_path_and_what_is_not_the_same():
    other = {"opt/a.py": b"a = 2\n", "opt/c": b""}

    said = list(contents.differences(read(tar(FILES)), read(tar(other))))

    assert [line.split(" ")[0] for line in said] == ["opt/a.py:", "opt/b:", "opt/c:"]
    assert "sha256" in said[0]
    assert said[1:] == ["opt/b: only in the first", "opt/c: only in the second"]


def test_modes_and_owners_are_compared_by_number():
    said = list(contents.differences(read(tar(FILES, mode=0o644)), read(tar(FILES, mode=0o600, uid=7))))

    assert said[0] == "opt/a.py: mode 0644 and 0600, owner 0:0 and 7:0"


def test_links_are_compared_by_kind_and_target():
    here, there = links(tarfile.SYMTYPE, "a"), links(tarfile.SYMTYPE, "b")

    assert len(list(contents.differences(read(here), read(there)))) == 1
    assert "kind symlink and hardlink" in next(contents.differences(read(here), read(links(tarfile.LNKTYPE, "a"))))
