import json
import sys
from importlib import metadata
from pathlib import Path

from scripts.images import inventory, sbom
from scripts.images.sbom import Subject

IDENTITY = "sha256:" + "ab" * 32
LABELS = {
    "org.opencontainers.image.version": "1.2.3",
    "org.opencontainers.image.created": "2023-11-14T22:13:20Z",
    "org.opencontainers.image.licenses": "Apache-2.0 AND LicenseRef-third-party",
    "maintainer": "nobody",
}
SUBJECT = Subject(name="vision:dev", identity=IDENTITY, labels=LABELS)
INVENTORY = {
    "distributions": [
        {"name": "Some_Package", "version": "1.0", "expression": "MIT OR Apache-2.0", "licences": [], "address": ""},
        {"name": "other", "version": "2", "expression": "", "licences": ["BSD License", "GPL"], "address": ""},
    ],
    "packages": [
        {"name": "zlib1g", "version": "1:1.3-2+b1", "architecture": "amd64", "source": "zlib", "licences": ["Zlib"]},
        {"name": "base", "version": "13", "architecture": "all", "source": "base", "licences": []},
    ],
}


def test_bill_is_a_cyclonedx_document_by_the_librarys_own_schema():
    assert sbom.problem(sbom.document(SUBJECT, INVENTORY)) == ""
    assert sbom.problem(sbom.document(SUBJECT, INVENTORY).replace('"library"', '"book"')) != ""


def test_bill_is_the_same_for_the_same_image():
    assert sbom.document(SUBJECT, INVENTORY) == sbom.document(SUBJECT, INVENTORY)


def test_bill_names_every_package_by_its_address_and_hangs_it_on_the_image():
    bill = json.loads(sbom.document(SUBJECT, INVENTORY))

    addresses = {component["purl"] for component in bill["components"]}
    assert addresses == {
        "pkg:pypi/some-package@1.0",
        "pkg:pypi/other@2",
        "pkg:deb/debian/zlib1g@1:1.3-2%2Bb1?arch=amd64",
        "pkg:deb/debian/base@13?arch=all",
    }
    assert set(next(entry for entry in bill["dependencies"] if entry["ref"] == "image")["dependsOn"]) == addresses


def test_bill_says_which_image_it_is_of():
    told = json.loads(sbom.document(SUBJECT, INVENTORY))["metadata"]

    assert told["timestamp"].startswith("2023-11-14T22:13:20")
    assert told["component"]["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert {entry["name"] for entry in told["component"]["properties"]} == {
        f"image:{name}" for name in LABELS if name.startswith("org.opencontainers")
    }


def test_licences_are_expressions_identifiers_or_names():
    components = json.loads(sbom.document(SUBJECT, INVENTORY))["components"]
    found = {component["name"]: component.get("licenses") for component in components}

    assert found["Some_Package"] == [{"expression": "MIT OR Apache-2.0"}]
    assert found["zlib1g"] == [{"license": {"id": "Zlib"}}]
    assert {entry["license"]["name"] for entry in found["other"]} == {"BSD License", "GPL"}
    assert found["base"] is None


def test_every_package_has_a_line_in_the_list_of_licences():
    lines = list(sbom.licences(INVENTORY))

    assert [line.split(maxsplit=2) for line in lines] == [
        ["Some_Package", "1.0", "MIT OR Apache-2.0"],
        ["other", "2", "BSD License; GPL"],
        ["zlib1g", "1:1.3-2+b1", "Zlib"],
        ["base", "13", "(not stated)"],
    ]


def test_package_that_the_lock_has_not_in_that_version_is_told():
    lock = "some-package==1.0 \\\n    --hash=sha256:aa\nother==3 \\\n    --hash=sha256:bb\n"

    assert sbom.unlisted(lock, INVENTORY) == ["other 2"]
    assert sbom.unlisted(lock, INVENTORY, ["other"]) == []


def test_inventory_names_what_is_installed_with_its_version():
    found = {entry["name"]: entry for entry in inventory.distributions()}

    assert found["pytest"]["version"] == metadata.version("pytest")
    assert found["pytest"]["expression"] or found["pytest"]["licences"] == ["MIT License"]


def test_licence_that_is_a_whole_text_is_its_first_line(tmp_path: Path, monkeypatch):
    folder = tmp_path / "long-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: long\nVersion: 1\nLicense: First line\n        Second\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert inventory.distributions()[0]["licences"] == ["First line"]


def test_licences_of_debian_are_read_from_files_of_the_form_for_machines(tmp_path: Path):
    path = tmp_path / "copyright"
    path.write_text("Files: *\nLicense: Zlib\n\nFiles: x\nLicense: GPL-2+\n text\n\nLicense: Zlib\n text\n")

    assert inventory.stated(path) == ["GPL-2+", "Zlib"]
    assert inventory.stated(tmp_path / "none") == []
