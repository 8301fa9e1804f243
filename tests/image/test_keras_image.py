"""The Keras image as it ships: what it holds, what it must not hold, and that it works where there is no GPU."""

import json

import docker
import pytest

from scripts.images.entry import read_image
from scripts.images.revision import read_version
from tests.image.conftest import RunPython

MAX_BYTES = 8_200_000_000
"""Unpacked. TensorFlow's own wheels, their CUDA and DALI are 7.1 GB of it."""

FIT = """
import numpy as np, keras
model = keras.Sequential([
    keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.BatchNormalization(),
    keras.layers.MaxPooling2D(2), keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax"),
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
labels = np.arange(256) % 10
images = (np.ones((256, 32, 32, 3)) * labels[:, None, None, None] / 10).astype("float32")
history = model.fit(images, labels, epochs=5, verbose=0, validation_split=0.1).history
assert history["loss"][-1] < history["loss"][0], history
"""
WORKS_ON_A_CPU = {
    "keras": FIT,
    "tf_keras": "import os; os.environ['TF_USE_LEGACY_KERAS'] = '1'\n"
    + FIT.replace("import numpy as np, keras", "import numpy as np\nfrom tensorflow import keras").replace(
        "keras.Input((32, 32, 3))", "keras.layers.InputLayer((32, 32, 3))"
    )
    + "model.save('/tmp/saved/1')\nassert os.path.exists('/tmp/saved/1/saved_model.pb')",
    "nvidia.dali": """
import tensorflow as tf
from nvidia.dali import fn, pipeline_def
from nvidia.dali.plugin.tf import DALIDataset
@pipeline_def(batch_size=4, num_threads=1, device_id=None)
def numbers():
    return fn.random.uniform(range=[0.0, 1.0], shape=[8])
dataset = DALIDataset(numbers(), batch_size=4, output_shapes=((4, 8),), output_dtypes=(tf.float32,), device_id=None)
assert [batch[0].shape for batch in dataset.take(2)] == [(4, 8), (4, 8)]
""",
    "matplotlib": """
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.savefig("/tmp/curve.png")
""",
    "sagemaker_training": "import sagemaker_training.cli.train",
    "sagemaker_tensorflow": "from sagemaker_tensorflow import PipeModeDataset, PipeModeDatasetException",
}


def test_image_is_within_its_size_unpacked(docker_client: docker.DockerClient, keras_image: str) -> None:
    layers = docker_client.images.get(keras_image).history()
    assert sum(layer["Size"] for layer in layers) <= MAX_BYTES


def test_labels_say_which_version_and_commit_the_image_is(docker_client: docker.DockerClient, keras_image: str) -> None:
    labels = docker_client.images.get(keras_image).labels
    prefix = "org.opencontainers.image."
    assert labels[prefix + "title"] == read_image("keras").repository
    assert labels[prefix + "version"] == read_version()
    assert labels[prefix + "revision"]
    assert labels[prefix + "source"]


def test_image_starts_train_and_leaves_opt_ml_to_the_platform(
    docker_client: docker.DockerClient, keras_image: str, run_python: RunPython
) -> None:
    config = docker_client.images.get(keras_image).attrs["Config"]
    assert not config["Entrypoint"]
    assert config["Cmd"] == ["train"]
    found = run_python("import os, shutil; print(shutil.which('train'), os.path.exists('/opt/ml'), os.getcwd())")
    assert found == "/opt/venv/bin/train False /"


def test_runtime_holds_no_compiler_and_no_linker(run_python: RunPython) -> None:
    tools = ["as", "c++", "cc", "clang", "g++", "gcc", "ld", "make", "nvcc"]
    found = run_python(f"import json, shutil; print(json.dumps([t for t in {tools} if shutil.which(t)]))")
    assert json.loads(found) == []


@pytest.fixture
def run_python(run_python_in: RunPython, keras_image: str) -> RunPython:
    """Runs a piece of Python in the Keras image."""
    return lambda code, **settings: run_python_in(keras_image, code, **settings)


@pytest.mark.parametrize("package", WORKS_ON_A_CPU)
def test_package_works_on_a_machine_without_a_gpu(package: str, run_python: RunPython) -> None:
    run_python(WORKS_ON_A_CPU[package])


def test_every_installed_package_finds_what_it_requires(run_python: RunPython) -> None:
    assert (
        run_python("import subprocess; subprocess.run(['pip', 'check'], check=True)") == "No broken requirements found."
    )


def test_our_package_adds_little_to_the_import_of_tensorflow(run_python: RunPython) -> None:
    code = """
import time
import tensorflow, keras
keras.Model, tensorflow.data
begun = time.process_time()
import keras_job.train_cifar10
print(time.process_time() - begun)
"""
    assert min(float(run_python(code).splitlines()[-1]) for _ in range(2)) <= 0.15


def test_program_is_found_whatever_pythonpath_a_user_sets(run_python: RunPython) -> None:
    code = "import trainjob, keras_job; print(trainjob.__file__, keras_job.__file__)"
    found = run_python(code, environment={"PYTHONPATH": "/nowhere"}, working_dir="/tmp")
    assert found == "/opt/program/trainjob/__init__.py /opt/program/keras_job/__init__.py"


def test_program_ships_compiled_and_is_not_checked_against_its_source(run_python: RunPython) -> None:
    code = """
from importlib.util import cache_from_source
from pathlib import Path
sources = list(Path("/opt/program").rglob("*.py"))
# PEP 552: the second word of a .pyc is 1 for a hash that is not checked.
print(len(sources) > 0, {Path(cache_from_source(source)).read_bytes()[4:8].hex() for source in sources})
"""
    assert run_python(code) == "True {'01000000'}"
