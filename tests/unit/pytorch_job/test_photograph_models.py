"""Networks for photographs: any of torchvision's by name, their heads, and weights as they are published."""

import importlib
import re
import subprocess
import sys

import pytest
import torch
from pytorch_job import models, saving, vision
from trainjob.errors import ChannelError, EntryPointError, HyperparameterError

pytestmark = pytest.mark.timeout(120)

FAMILIES = (
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "resnext50_32x4d",
    "shufflenet_v2_x0_5", "squeezenet1_1", "swin_t", "vgg11", "vit_b_16", "wide_resnet50_2",
)  # fmt: skip


def test_networks_are_there_beside_a_torch_that_torchvision_was_not_made_for():
    program = (
        "from pytorch_job import vision; first = vision.networks(); assert vision.networks() is first; "
        "assert len(first.list_models(module=first)) > 70"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_interpreter_without_torchvision_is_told_what_to_install(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(EntryPointError, match=r"lacks \(No module named 'torchvision.models'\); install it with pip"):
        vision.networks()


@pytest.mark.parametrize("name", FAMILIES)
def test_head_of_each_family_is_the_layer_that_knows_the_classes(name):
    # Without memory for the weights, but of regnet, which draws some on the host.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        model = models.photograph_model(name, 7, 224)
    head = models.head(model)
    assert (head.out_features if isinstance(head, torch.nn.Linear) else head.out_channels) == 7
    assert model.training


@pytest.mark.parametrize(
    ("name", "side"),
    [
        *(("resnet18", 32), ("convnext_tiny", 32), ("vit_b_16", 32), ("vit_b_16", 48)),
        *(("inception_v3", 96), ("googlenet", 32)),
    ],
)
def test_network_takes_images_of_its_size_and_learns_from_them(name, side):
    torch.manual_seed(0)
    model = models.photograph_model(name, 3, side)
    logits = model(torch.randn(2, 3, side, side))
    assert logits.shape == (2, 3)
    logits.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_maxvit_is_built_for_other_sizes_than_its_authors():
    with torch.device("meta"):
        assert models.photograph_model("maxvit_t", 3, 448)(torch.zeros(1, 3, 448, 448)).shape == (1, 3)


@pytest.mark.parametrize(
    ("name", "side", "why"),
    [
        ("alexnet", 32, "Output size is too small"),
        ("inception_v3", 64, "Kernel size can't be greater"),
        ("vit_b_16", 40, "indivisible by patch size"),
        ("maxvit_t", 32, "not divisible by partition size"),
    ],
)
def test_size_that_a_network_cannot_take_is_refused_when_it_is_built(name, side, why):
    text = rf"'model' {name} cannot be made for images of {side} px \(.*{why}.*\); set another image_size"
    with torch.device("meta"), pytest.raises(HyperparameterError, match=text):
        models.photograph_model(name, 2, side)


def test_trying_a_network_leaves_its_weights_and_the_generator_as_they_were():
    torch.manual_seed(4)
    model, following = models.photograph_model("shufflenet_v2_x0_5", 2, 32), torch.rand(3)
    torch.manual_seed(4)
    plain, expected = vision.networks().get_model("shufflenet_v2_x0_5", num_classes=2), torch.rand(3)
    assert torch.equal(following, expected)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def load(folder, state, model) -> None:
    torch.save(state, folder / "published.pth")
    saving.load_pretrained(folder, model, models.head(model))


def check_loaded(model, state) -> None:
    """Everything but the head is the state's."""
    head = {id(parameter) for parameter in models.head(model).parameters()}
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, state[name]) == (id(parameter) not in head), name


def test_weights_of_before_batches_were_counted_load(tmp_path):
    state = models.photograph_model("shufflenet_v2_x0_5", 1000, 32).state_dict()
    old = {name: value for name, value in state.items() if "num_batches_tracked" not in name}
    assert len(old) < len(state)
    model = models.photograph_model("shufflenet_v2_x0_5", 2, 32)
    load(tmp_path, old, model)
    check_loaded(model, state)


def test_weights_of_googlenet_load_with_the_two_heads_that_only_training_had(tmp_path):
    networks = vision.networks()
    state = networks.googlenet(num_classes=10, aux_logits=True, init_weights=False).state_dict()
    assert any(name.startswith("aux2.") for name in state)
    model = models.photograph_model("googlenet", 2, 32)
    load(tmp_path, state, model)
    check_loaded(model, state)


def test_weights_of_densenet_load_under_the_names_they_are_published_with(tmp_path):
    state = models.photograph_model("densenet121", 10, 32).state_dict()
    published = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value
        for name, value in state.items()
        if "num_batches_tracked" not in name
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in published
    model = models.photograph_model("densenet121", 2, 32)
    load(tmp_path, published, model)
    check_loaded(model, state)


def test_weights_of_many_gpus_load_without_their_prefix(tmp_path):
    state = models.photograph_model("squeezenet1_1", 10, 32).state_dict()
    model = models.photograph_model("squeezenet1_1", 2, 32)
    load(tmp_path, {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, model)
    check_loaded(model, state)


def test_statistics_that_are_missing_are_a_difference_and_no_small_thing(tmp_path):
    state = models.photograph_model("shufflenet_v2_x0_5", 2, 32).state_dict()
    del state["conv1.1.running_mean"]
    with pytest.raises(ChannelError, match=r"1 entries differ, the first is 'conv1\.1\.running_mean'"):
        load(tmp_path, state, models.photograph_model("shufflenet_v2_x0_5", 2, 32))
