"""torchvision's constructors, written out over torch.nn, to check `fanin init MODEL --stream torch --scheme torch`.

    build/fanin init resnet:18 --stream torch --scheme torch --seed 5 -o r18.safetensors
    python3 scripts/torchvision_constructors.py resnet:18 5 [r18.safetensors]

Prints the SHA-256 over all parameters in order (what tests/unit/test_plan_streams.c holds; made with torch 1.13)
and, with a file, every tensor that differs in a bit. Needs torch and numpy, not torchvision."""
import hashlib
import json
import struct
import sys
from collections import OrderedDict

import numpy as np
import torch
from torch import nn


def constant(m):
    nn.init.constant_(m.weight, 1)
    nn.init.constant_(m.bias, 0)


class Basic(nn.Module):
    def __init__(self, i, o, stride, down):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.downsample = down


class Bottleneck(nn.Module):
    def __init__(self, i, o, stride, down):
        super().__init__()
        self.conv1 = nn.Conv2d(i, o, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(o)
        self.conv3 = nn.Conv2d(o, 4 * o, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * o)
        self.downsample = down


class ResNet(nn.Module):
    def __init__(self, block, expansion, layers):
        super().__init__()
        self.width = 64
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        for k, n in enumerate(layers):
            setattr(self, f"layer{k + 1}", self.stage(block, expansion, 64 << k, n, 2 if k else 1))
        self.fc = nn.Linear(512 * expansion, 1000)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                constant(m)

    def stage(self, block, expansion, planes, count, stride):
        down, out = None, planes * expansion
        if stride != 1 or self.width != out:
            down = nn.Sequential(nn.Conv2d(self.width, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        blocks = [block(self.width, planes, stride, down)]
        self.width = out
        return nn.Sequential(*blocks, *[block(out, planes, 1, None) for _ in range(1, count)])


class VGG(nn.Module):
    def __init__(self, stages, norm, side, classes):
        super().__init__()
        layers, width = [], 3
        for out, count in zip((64, 128, 256, 512, 512), stages):
            for _ in range(count):
                layers.append(nn.Conv2d(width, out, 3, padding=1))
                if norm:
                    layers.append(nn.BatchNorm2d(out))
                layers.append(nn.ReLU())
                width = out
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * side * side, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, classes))
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.BatchNorm2d):
                constant(m)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.constant_(m.bias, 0)


class DenseLayer(nn.Module):
    def __init__(self, width, growth):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, 1, 1, bias=False)


class DenseNet(nn.Module):
    def __init__(self, growth, blocks, width):
        super().__init__()
        self.features = nn.Sequential(OrderedDict(
            conv0=nn.Conv2d(3, width, 7, 2, 3, bias=False), norm0=nn.BatchNorm2d(width)))
        for k, count in enumerate(blocks):
            block = nn.ModuleDict()
            for j in range(count):
                block.add_module(f"denselayer{j + 1}", DenseLayer(width + j * growth, growth))
            self.features.add_module(f"denseblock{k + 1}", block)
            width += count * growth
            if k < 3:
                self.features.add_module(f"transition{k + 1}", nn.Sequential(OrderedDict(
                    norm=nn.BatchNorm2d(width), conv=nn.Conv2d(width, width // 2, 1, bias=False))))
                width //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(width))
        self.classifier = nn.Linear(width, 1000)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight)
            elif isinstance(m, nn.BatchNorm2d):
                constant(m)
            elif isinstance(m, nn.Linear):
                nn.init.constant_(m.bias, 0)


MODELS = {
    "resnet:18": lambda: ResNet(Basic, 1, (2, 2, 2, 2)),
    "resnet:34": lambda: ResNet(Basic, 1, (3, 4, 6, 3)),
    "resnet:50": lambda: ResNet(Bottleneck, 4, (3, 4, 6, 3)),
    "vgg:11": lambda: VGG((1, 1, 2, 2, 2), False, 7, 1000),
    "vgg:11,norm=batch": lambda: VGG((1, 1, 2, 2, 2), True, 7, 1000),
    "vgg:11,norm=batch,input=3x32x32,classes=10": lambda: VGG((1, 1, 2, 2, 2), True, 1, 10),
    "densenet:121": lambda: DenseNet(32, (6, 12, 24, 16), 64),
    "densenet:161": lambda: DenseNet(48, (6, 12, 36, 24), 96),
}


def read(path):
    with open(path, "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header, data = json.loads(f.read(size)), f.read()
    return {k: np.frombuffer(data[slice(*v["data_offsets"])], "f4").reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


def main():
    torch.manual_seed(int(sys.argv[2]))
    model = MODELS[sys.argv[1]]()
    raw = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    print(sys.argv[1], sys.argv[2], hashlib.sha256(raw).hexdigest())
    if len(sys.argv) > 3:
        want = {k: v.numpy() for k, v in model.state_dict().items() if "num_batches" not in k}
        got = read(sys.argv[3])
        wrong = [k for k in sorted(want.keys() | got.keys())
                 if k not in want or k not in got or want[k].tobytes() != got[k].tobytes()]
        print(len(want), "tensors, different:", " ".join(wrong) or "none")
        sys.exit(bool(wrong))


main()
