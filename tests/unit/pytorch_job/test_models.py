"""The networks take CIFAR-10's shape and have the size they are said to have."""

import pytest
import torch
from pytorch_job import models


@pytest.mark.parametrize(("name", "weights"), [("net", 62_006), ("resnet", 6_573_120)])
def test_model_maps_images_to_ten_logits(name, weights):
    model = models.build(name)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert sum(parameter.numel() for parameter in model.parameters()) == weights


def test_pooling_before_the_activation_is_the_workshops_network():
    net = models.build("net")
    images = torch.randn(4, 3, 32, 32)
    hidden = torch.max_pool2d(torch.relu(net.conv1(images)), 2)
    hidden = torch.max_pool2d(torch.relu(net.conv2(hidden)), 2).flatten(1)
    expected = net.fc3(torch.relu(net.fc2(torch.relu(net.fc1(hidden)))))
    torch.testing.assert_close(net(images), expected)
