"""Rules over the whole source: who may import whom, quiet imports, sizes, and the contract in one file."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = {
    "trainjob": REPOSITORY / "containers/common/trainjob",
    "pytorch_job": REPOSITORY / "containers/pytorch/pytorch_job",
    "keras_job": REPOSITORY / "containers/keras/keras_job",
    "sagemaker_tensorflow": REPOSITORY / "containers/keras/sagemaker_tensorflow",
    "local_mode": REPOSITORY / "local_mode",
    "scripts": REPOSITORY / "scripts",
}
STDLIB = set(sys.stdlib_module_names)
MODULE_LINES, FUNCTION_LINES = 400, 60
FEEDER = "local_mode.channels.feeder"
# What the feeder is made of; none of it needs anything but the standard library and the contract.
FED = {
    f"local_mode.channels.{name}"
    for name in (
        "ahead",
        "augmented",
        "delivery",
        "gauge",
        "inflate",
        "objects",
        "order",
        "recordio",
        "s3_access",
        "s3_source",
        "sending",
    )
}

# Longest prefix wins. A module may always import the standard library and what is listed; nothing else.
MAY_IMPORT = {
    "trainjob": {"trainjob", "numpy", "crc32c", "google_crc32c"},
    "trainjob.contract": set(),
    "trainjob.errors": set(),
    "trainjob.training.pictures": {"trainjob", "numpy", "matplotlib"},
    "trainjob.photographs.dali_pipelines": {"trainjob", "numpy", "nvidia"},
    "trainjob.framing": {"trainjob.framing", "trainjob.errors", "numpy", "crc32c", "google_crc32c"},
    "pytorch_job": {"pytorch_job", "trainjob", "torch", "numpy"},
    "pytorch_job.inputs": {"pytorch_job", "trainjob", "torch", "numpy", "nvidia"},
    # What decodes photographs where DALI cannot be loaded.
    "pytorch_job.photographs": {"pytorch_job", "trainjob", "torch", "numpy", "PIL"},
    "keras_job": {"keras_job", "trainjob", "keras", "tensorflow", "numpy"},
    "keras_job.inputs": {"keras_job", "trainjob", "keras", "tensorflow", "numpy", "nvidia"},
    # A package of its own in the image, as the one whose place it takes.
    "sagemaker_tensorflow": {"sagemaker_tensorflow", "trainjob", "tensorflow", "numpy"},
    "local_mode": {"local_mode", "trainjob.contract"},
    "local_mode.errors": set(),
    "local_mode.console": set(),
    "local_mode.host": {"local_mode.errors"},
    "local_mode.channels": {"local_mode.channels", "local_mode.errors", "trainjob.contract"},
    "local_mode.instance": {"local_mode.instance", "local_mode.channels", "local_mode.errors", "trainjob.contract"},
    "local_mode.instance.artifacts": {
        "local_mode.instance", "local_mode.channels", "local_mode.errors", "trainjob.contract", "isal",
    },
    # botocore is boto3's own: its errors and its settings.
    "local_mode.channels.s3": {"local_mode.channels", "local_mode.errors", "boto3", "botocore"},
    **{name: {"trainjob.contract", *FED} for name in (FEEDER, *FED)},
    # S3 itself, and boto3 with it, only when the first object of one is asked for.
    "local_mode.channels.s3_source": {*FED, "local_mode.channels.s3"},
    "local_mode.channels.fast_file": {"trainjob.contract", *FED, "local_mode.channels.lazy_file", "mfusepy"},
    # Where the packages lie, so that the feeder imports the very same ones.
    "local_mode.channels.feeding": {"local_mode", "trainjob"},
    "local_mode.runners": {"local_mode.runners", "local_mode.instance", "local_mode.errors", "trainjob.contract"},
    **{
        name: {"local_mode.runners", "local_mode.instance", "local_mode.errors", "trainjob.contract", "docker"}
        for name in (
            "local_mode.runners.docker", "local_mode.runners.docker_network", "local_mode.runners.docker_restart",
        )
    },
    "local_mode.jobs": {
        "local_mode.jobs", "local_mode.instance", "local_mode.channels", "local_mode.errors",
        "local_mode.runners.protocol",
    },
    # Training jobs are created, described and stopped as a client would; none of their inside is touched.
    "local_mode.tuning": {
        "local_mode.tuning", "local_mode.errors", "local_mode.jobs.service", "local_mode.jobs.store",
        "local_mode.jobs.database", "local_mode.jobs.rules", "local_mode.jobs.folder", "local_mode.jobs.trace",
    },
    "local_mode.tuning.search": {"local_mode.tuning", "optuna"},
    **{
        f"local_mode.tuning.{name}": {"local_mode.tuning"}
        for name in ("ranges", "objective", "median", "hyperband", "plan", "rules", "trial", "strategies", "endings")
    },
    # Components are what records of jobs say; nothing of jobs is changed.
    "local_mode.experiments": {
        "local_mode.experiments", "local_mode.errors", "local_mode.jobs.database", "local_mode.jobs.record",
        "local_mode.jobs.summary",
    },
    "local_mode.experiments.search": {"local_mode.errors"},
    # What is sent is read from records, of training and of tuning jobs, and from what a listener wrote down.
    "local_mode.tracking": {
        "local_mode.tracking", "local_mode.errors", "local_mode.jobs.database", "local_mode.jobs.folder",
        "local_mode.jobs.record", "local_mode.jobs.request", "local_mode.jobs.store", "local_mode.jobs.trace",
    },
    # What MLflow's store of this machine raises is SQLAlchemy's.
    "local_mode.tracking.runs": {"local_mode.tracking", "local_mode.errors", "mlflow", "sqlalchemy"},
    **{f"local_mode.tracking.{name}": set() for name in ("spool", "machine")},
    "local_mode.api": {
        "local_mode.api", "local_mode.jobs", "local_mode.experiments", "local_mode.page", "local_mode.object_store",
        "local_mode.errors", "botocore", "werkzeug",
    },
    # It shows what the jobs say of themselves, and reads what they left.
    "local_mode.page": {"local_mode.page", "local_mode.jobs", "local_mode.errors", "werkzeug", "jinja2"},
    "local_mode.page.access": set(),
    # What an engine says of an image is all it needs of runners.
    "local_mode.doctor": {
        "local_mode.doctor", "local_mode.jobs", "local_mode.channels", "local_mode.errors", "local_mode.runners.image",
        "trainjob.contract",
    },
    # No more than `env` and the pytest plugin need, which bring neither werkzeug nor botocore.
    **{key: set() for key in ("local_mode.api.hosts", "local_mode.api.tunnel", "local_mode.api.proxy_address")},
    "local_mode.api.reach": {"local_mode.api.hosts", "local_mode.errors"},
    "local_mode.api.certificates": {"local_mode.endpoint", "cryptography"},
    # Of moto's S3 the objects lie on disk, which is a module of its own beside all else of AWS.
    "local_mode.aws": {
        "local_mode.aws_ecr", "local_mode.aws_logs", "local_mode.aws_s3", "local_mode.jobs.log_archive",
        "local_mode.object_store", "moto",
    },
    "local_mode.aws_ecr": {"moto"},
    "local_mode.aws_later": {"local_mode.aws", "local_mode.jobs.log_archive", "local_mode.object_store"},
    # It makes a job's streams again of what lies beside its logs.
    "local_mode.aws_logs": {"local_mode.jobs.log_archive", "local_mode.jobs.log_stream", "moto"},
    "local_mode.aws_s3": {"local_mode.object_store", "moto"},
    "local_mode.object_store": {"local_mode.object_store", "local_mode.errors"},
    # boto3 only to have it forget its default session, when a fixture of ours is used.
    "local_mode.pytest_plugin": {"local_mode", "pytest", "boto3"},
    # botocore is boto3's own: its errors, its settings, its models of AWS's services.
    "scripts": {"scripts", "trainjob", "local_mode", "boto3", "botocore", "docker", "yaml", "tqdm", "PIL", "numpy"},
    "scripts.tuning.figures": {"scripts", "local_mode.tuning", "matplotlib"},
    "scripts.drilling.figures": {"scripts.drilling", "matplotlib"},
    # What the docker SDK's calls end with where no engine is left: its own two libraries.
    "scripts.publishing.engine": {"scripts.publishing", "docker", "requests", "urllib3"},
    # It runs in the notebooks' environment.
    "scripts.run_notebook": {"nbclient", "nbconvert", "nbformat"},
    # What tests ask of images in any interpreter, and what runs inside an image.
    **{f"scripts.images.{name}": {"scripts.images"} for name in ("entry", "engine", "revision")},
    "scripts.images.inventory": set(),
    "scripts.images.sbom": {"scripts.images", "cyclonedx", "packageurl"},
}  # fmt: skip
# Below one another: a module here must not import one that comes later.
LAYERS = ("trainjob.framing", "trainjob.pipe", "trainjob.channel", "trainjob.batching")
# Of a folder of trainjob: the modules of trainjob outside of it that may import it. framing is there for all that read.
FOLDERS = {
    "trainjob.launching": {"trainjob.launch"},
    "trainjob.photographs": set(),
    # A recipe of its own stands on the one that all programs have; what is imported before a fork includes matplotlib.
    "trainjob.training": {"trainjob.photographs.showing", "trainjob.launching.preloading"},
}


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in SOURCES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join([package, *(part for part in parts if part != "__init__")])
            yield name, path


MODULES = dict(modules())


def rule_for(name: str) -> set[str]:
    while name not in MAY_IMPORT:
        name = name.rpartition(".")[0]
    return MAY_IMPORT[name]


def imports(name: str, path: Path) -> Iterator[str]:
    """Full names of all that a module imports, wherever in it, for type checking only as well."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, node.module] if node.module else above) if node.level else str(node.module)
            # `from package import module` names a module only if there is one of that name.
            yield from (f"{base}.{alias.name}" if f"{base}.{alias.name}" in MODULES else base for alias in node.names)


def allowed(imported: str, rule: set[str]) -> bool:
    return imported.partition(".")[0] in STDLIB or any(
        imported == entry or imported.startswith(f"{entry}.") for entry in rule
    )


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_what_its_package_may(name):
    refused = [item for item in imports(name, MODULES[name]) if not allowed(item, rule_for(name))]

    assert refused == [], f"{name} must not import {refused}; the table in the design says what it may"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith(LAYERS)])
def test_lower_layer_does_not_import_a_higher_one(name):
    layer = next(index for index, prefix in enumerate(LAYERS) if name.startswith(prefix))

    assert [item for item in imports(name, MODULES[name]) if item.startswith(LAYERS[layer + 1 :])] == []


def into(folder: str, importers: Mapping[str, Path]) -> dict[str, str]:
    """The modules that import a folder though the table does not let them, each with what it imports."""
    return {
        name: item
        for name, path in importers.items()
        if name not in FOLDERS[folder] and not f"{name}.".startswith(f"{folder}.")
        for item in imports(name, path)
        if f"{item}.".startswith(f"{folder}.")
    }


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_of_trainjob_is_imported_only_by_whom_the_table_names(folder):
    assert into(folder, {name: path for name, path in MODULES.items() if name.startswith("trainjob")}) == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_table_of_folders_names_nobody_who_need_not_be_named(folder):
    named = {name for name in FOLDERS[folder] if any(item.startswith(folder) for item in imports(name, MODULES[name]))}

    assert named == FOLDERS[folder]


def test_folder_is_refused_to_a_module_that_reads():
    reader = {"trainjob.pipe": MODULES["trainjob.launch"]}

    assert set(into("trainjob.launching", reader)) == {"trainjob.pipe"}


def test_rules_refuse_what_they_should():
    assert not allowed("torch", rule_for("local_mode.jobs.create"))
    assert not allowed("local_mode.jobs", rule_for("local_mode.runners.process"))
    assert not allowed("trainjob.pipe", rule_for("local_mode.instance.opt_ml"))
    assert not allowed("optuna", rule_for("local_mode.tuning.job"))
    assert not allowed("local_mode.errors", rule_for(FEEDER))
    assert not allowed("local_mode.errors", rule_for("local_mode.channels.delivery"))
    assert not allowed("trainjob.framing.recordio", rule_for("local_mode.channels.recordio"))
    assert allowed("os.path", rule_for(FEEDER))


QUIET = """
import contextlib, importlib, io, logging, sys, threading
def refuse(event, arguments):
    if event in ("socket.connect", "subprocess.Popen", "os.mkdir", "os.remove", "os.rename"):
        raise SystemExit(f"{event} {arguments} while importing")
sys.addaudithook(refuse)
out = io.StringIO()
with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    for name in sys.argv[1:]:
        importlib.import_module(name)
assert out.getvalue() == "", out.getvalue()
assert logging.getLogger().handlers == [], "logging is configured"
assert threading.active_count() == 1, threading.enumerate()
"""


def test_every_module_imports_quietly_in_an_empty_environment():
    # pictures, dali_pipelines and runs bring libraries that are loud by themselves; the look at the source covers them.
    loud = ("trainjob.photographs.dali_pipelines", "trainjob.training.pictures", "local_mode.tracking.runs")
    names = [name for name in MODULES if name.startswith(("trainjob", "local_mode")) and name not in loud]
    places = [str(REPOSITORY), str(REPOSITORY / "containers/common")]
    code = f"import sys; sys.path[:0] = {places}\n{QUIET}"
    command = [sys.executable, "-B", "-c", code, *names]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when a module is imported: everything but the bodies of functions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


@pytest.mark.parametrize("name", MODULES)
def test_importing_reads_no_environment(name):
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    started = [node for node in tree.body if not (isinstance(node, ast.If) and "__main__" in ast.dump(node.test))]
    nodes = [inner for node in started if not isinstance(node, ast.FunctionDef) for inner in at_import(node)]

    assert [
        node.lineno for node in nodes if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ] == []


def strings(path: Path) -> Iterator[tuple[int, str]]:
    """String constants of a module but for its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
            yield node.lineno, node.value


@pytest.mark.parametrize("name", [name for name in MODULES if name != "trainjob.contract"])
def test_paths_of_the_platform_are_named_in_the_contract_alone(name):
    assert [(line, text) for line, text in strings(MODULES[name]) if "/opt/ml" in text] == []


@pytest.mark.parametrize("name", MODULES)
def test_modules_and_functions_are_small(name):
    text = MODULES[name].read_text(encoding="utf-8")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {
        node.name: size for node in functions if (size := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES
    }

    assert text.count("\n") <= MODULE_LINES
    assert long == {}


@pytest.mark.parametrize("name", MODULES)
def test_module_says_in_one_sentence_what_it_is_for(name):
    assert ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8")))


def test_sources_are_found():
    assert {"trainjob.contract", "local_mode.jobs.create"} <= set(MODULES)
