"""One image on its way: named, compared with what the registry has, uploaded, and looked up again."""

from collections.abc import Callable

from scripts.publishing.engine import Engine, LocalImage
from scripts.publishing.errors import PublishError
from scripts.publishing.progress import Progress
from scripts.publishing.refusal import taken
from scripts.publishing.registry import Registry
from scripts.publishing.retry import Patience
from scripts.publishing.target import Target


def push(
    image: LocalImage,
    target: Target,
    *,
    engine: Engine,
    patience: Patience,
    progress: Callable[[], Progress],
    say: Callable[[str], None],
) -> str:
    """Have a registry hold an image under its tag; the digest. What the registry has already is not sent again.

    An upload puts the layers there first and the tag last, so that a tag never names part of an image.

    Raises:
        PublishError: the registry does not hold it; no name of this push is left in the engine.
    """
    registry = Registry(target=target, insecure=engine.trusts_blindly(target.registry))
    name = target.tagged(image.tag)

    def upload() -> str:
        with progress() as watch:
            return engine.push(target, image.tag, watch)

    there = patience(lambda: registry.manifest(image.tag))
    if there is not None and not there.is_of(image.id):
        raise taken(target, image.tag, f"image {there.config or there.digest}, and this machine's is {image.id}")
    with engine.named(image, target, image.tag):
        if there is not None:
            say(f"{name} is there already, and is this very image: nothing to push")
            if not engine.holds(target.by_digest(there.digest)):
                patience(lambda: engine.learn(target, there.digest))
            return there.digest
        say(f"pushing {image.name} as {name}")
        digest = patience(upload)
        found = patience(lambda: registry.manifest(image.tag))
        if found is None or found.digest != digest:
            seen = found.digest if found else "nothing"
            raise PublishError(f"'{target.registry}' has {seen} under '{name}' after {digest} was pushed; push again")
    return digest
