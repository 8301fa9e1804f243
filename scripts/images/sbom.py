"""A software bill of materials: what an image's inventory says, as CycloneDX; and its licences as a table."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from scripts.images.building import LABEL

SCHEMA = SchemaVersion.V1_6
PROPERTY = "image:"
UNSTATED = "(not stated)"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The image that a bill is of."""

    name: str
    identity: str
    """The engine's own name for it: `sha256:...`."""
    labels: Mapping[str, str]

    @classmethod
    def of(cls, name: str, inspected: Mapping[str, Any]) -> "Subject":
        """What `docker image inspect` has said of it."""
        return cls(name=name, identity=inspected["Id"], labels=inspected["Config"]["Labels"] or {})


def document(subject: Subject, inventory: Mapping[str, Any]) -> str:
    """The bill as JSON; the same image gives the same bytes."""
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, subject.identity),
        components=[*_python(inventory["distributions"]), *_debian(inventory["packages"])],
        metadata=BomMetaData(component=_root(subject), timestamp=_created(subject)),
    )
    root = bom.metadata.component
    assert root is not None  # noqa: S101 - it was given above
    bom.register_dependency(root, bom.components)
    written: str = JsonV1Dot6(bom).output_as_string(indent=2)
    return written


def problem(text: str) -> str:
    """Why a text is no CycloneDX document of our version; empty if it is one."""
    error = JsonStrictValidator(SCHEMA).validate_str(text)
    return "" if error is None else str(error)


def licences(inventory: Mapping[str, Any]) -> Iterator[str]:
    """A line for each package: name, version, licences as it states them."""
    for entry in [*inventory["distributions"], *inventory["packages"]]:
        named = [entry["expression"]] if entry.get("expression") else entry["licences"]
        yield f"{entry['name']:<40} {entry['version']:<28} {'; '.join(named) or UNSTATED}"


def unlisted(lock: str, inventory: Mapping[str, Any], left_out: Sequence[str] = ()) -> list[str]:
    """Packages of an inventory that a lock does not pin to the very version; there should be none."""
    pinned = {tuple(line.split()[0].split("==")) for line in lock.splitlines() if "==" in line.split(" ")[0]}
    found = {(_normal(entry["name"]), entry["version"]) for entry in inventory["distributions"]}
    return sorted(f"{name} {version}" for name, version in found - pinned if name not in left_out)


def _root(subject: Subject) -> Component:
    labels = {name: value for name, value in subject.labels.items() if name.startswith(LABEL)}
    repository = subject.name.partition(":")[0]
    return Component(
        type=ComponentType.CONTAINER,
        name=repository,
        version=labels.get(f"{LABEL}version", ""),
        bom_ref="image",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=subject.identity.removeprefix("sha256:"))],
        licenses=_licences(labels.get(f"{LABEL}licenses", ""), []),
        properties=[Property(name=PROPERTY + name, value=value) for name, value in sorted(labels.items())],
    )


def _python(distributions: Sequence[Mapping[str, Any]]) -> Iterator[Component]:
    for entry in distributions:
        address = PackageURL(type="pypi", name=_normal(entry["name"]), version=entry["version"])
        yield _component(entry, address)


def _debian(packages: Sequence[Mapping[str, Any]]) -> Iterator[Component]:
    for entry in packages:
        qualifiers = {"arch": entry["architecture"]}
        address = PackageURL(
            type="deb", namespace="debian", name=entry["name"], version=entry["version"], qualifiers=qualifiers
        )
        yield _component(entry, address)


def _component(entry: Mapping[str, Any], address: PackageURL) -> Component:
    return Component(
        type=ComponentType.LIBRARY,
        name=entry["name"],
        version=entry["version"],
        bom_ref=address.to_string(),
        purl=address,
        licenses=_licences(entry.get("expression", ""), entry["licences"]),
    )


def _licences(expression: str, names: Sequence[str]) -> list[License]:
    factory = LicenseFactory()
    if expression:
        return [factory.make_from_string(expression)]
    # An expression must stand alone: where there are several names, each is a name and no more.
    return [factory.make_from_string(names[0])] if len(names) == 1 else [factory.make_with_name(name) for name in names]


def _created(subject: Subject) -> datetime:
    return datetime.fromisoformat(subject.labels.get(f"{LABEL}created", "1970-01-01T00:00:00Z"))


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
