"""fanin's engine beside PyTorch in one run: every target of the engine, one line each.

    python3 bench/bench_engine.py [--build build] [--rounds 7] [--graphs DIR] [CASE ...]

Both sides run as worker processes that do a number of steps when they are told to, and they take turns, so that what
else the machine does falls on both. PyTorch's figure is its best over torch threads {1, 2} x OPENBLAS_NUM_THREADS
{1, 2} (its packaged build varies fivefold with them), chosen by the median of its own rounds. Times are medians of
the rounds, wall clock; `ratio` is ours by theirs, `cpu` the same of processor seconds. Peak memory is that of the
whole process, libraries included. OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE are removed from the environment."""
import argparse
import json
import os
import statistics
import subprocess
import sys

MLP = "mlp:784-1000x5-10,act=tanh"
GRAPHS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "models", "graphs")
# name: MODEL, batch, length, our optimizer, target ratio of time
CASES = {
    "mlp_10": (MLP, 10, 0, "descend+sgd:lr=0.01", 0.5),
    "mlp_128": (MLP, 128, 0, "descend+sgd:lr=0.01", 0.75),
    "lenet5_128": ("lenet5", 128, 0, "descend+sgd:lr=0.01", 0.7),
    "resnet20_128": ("resnet:20", 128, 0, "momentum:lr=0.01", 0.75),
    "resnet50_8": ("resnet:50", 8, 0, "-", 1.0),
    "gpt2_2x128": ("GRAPHS/gpt2_small.onnx", 2, 128, "-", 1.0),
}
# the same with operands of products in bfloat16, beside float32
BF16 = ("mlp_10", "mlp_128", "resnet20_128")
PLANNING = {"densenet121": ("GRAPHS/densenet121.onnx", 1, 0), "vit_b_16": ("GRAPHS/vit_b_16.onnx", 1, 0)}
PLANNING_MS = 100
EVERY = list(CASES) + ["plan_" + p for p in PLANNING] + ["bf16_" + name for name in BF16]


# ---- PyTorch ---------------------------------------------------------------------------------------------------


def torch_resnet20(torch):
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inner, outer, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outer)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outer)
            self.stride, self.extra = stride, outer - inner

        def forward(self, x):
            y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
            if self.extra:  # option A
                x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
            return functional.relu(x + y)

    layers, inner = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()], 16
    for outer in (16, 32, 64):
        for i in range(3):
            layers.append(Block(inner, outer, 2 if i == 0 and outer != 16 else 1))
            inner = outer
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def torch_resnet50(torch):
    nn, functional = torch.nn, torch.nn.functional

    def normed(inner, outer, kernel, stride=1):
        return nn.Sequential(nn.Conv2d(inner, outer, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outer))

    class Block(nn.Module):
        def __init__(self, inner, width, stride):
            super().__init__()
            self.a, self.b, self.c = normed(inner, width, 1), normed(width, width, 3, stride), normed(width, 4 * width, 1)
            self.shortcut = normed(inner, 4 * width, 1, stride) if inner != 4 * width else nn.Identity()
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.relu(self.c(self.relu(self.b(self.relu(self.a(x))))) + self.shortcut(x))

    layers, inner = [normed(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)], 64
    for width, count in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for i in range(count):
            layers.append(Block(inner, width, 2 if i == 0 and width != 64 else 1))
            inner = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 1000))


def torch_gpt2(torch, length):
    nn, functional = torch.nn, torch.nn.functional
    width, heads = 768, 12

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
            self.gelu = nn.GELU(approximate="tanh")
            mask = torch.ones(length, length, dtype=torch.bool).triu(1)
            self.register_buffer("mask", mask)

        def forward(self, x):
            n, t, _ = x.shape
            q, k, v = (a.view(n, t, heads, -1).transpose(1, 2) for a in self.qkv(self.ln_1(x)).split(width, 2))
            score = (q @ k.transpose(2, 3)) * (q.shape[-1] ** -0.5)
            a = functional.softmax(score.masked_fill(self.mask, float("-inf")), -1) @ v
            x = x + self.out(a.transpose(1, 2).reshape(n, t, width))
            return x + self.down(self.gelu(self.up(self.ln_2(x))))

    class Gpt2(nn.Module):
        def __init__(self):
            super().__init__()
            self.wte, self.wpe = nn.Embedding(50257, width), nn.Embedding(1024, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(12)))
            self.ln_f = nn.LayerNorm(width)

        def forward(self, tokens):
            x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
            return functional.linear(self.ln_f(self.blocks(x)), self.wte.weight)

    return Gpt2()


def torch_subject(torch, name):
    """Network, input and targets of a case."""
    nn = torch.nn
    batch, length = CASES[name][1:3]
    target = torch.arange(batch * max(length, 1)) % 10
    if name.startswith("mlp"):
        widths, layers = [784] + [1000] * 5, []
        for inner, outer in zip(widths, widths[1:]):
            layers += [nn.Linear(inner, outer), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(1000, 10)), torch.randn(batch, 784), target
    if name.startswith("lenet5"):
        net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84),
                            nn.ReLU(), nn.Linear(84, 10))
        return net, torch.randn(batch, 1, 28, 28), target
    if name.startswith("resnet20"):
        return torch_resnet20(torch), torch.randn(batch, 3, 32, 32), target
    if name.startswith("resnet50"):
        return torch_resnet50(torch), torch.randn(batch, 3, 224, 224), target
    return torch_gpt2(torch, length), torch.randint(0, 1024, (batch, length)), target


def torch_worker(name, threads):
    import resource
    import time
    import torch
    torch.set_num_threads(threads)
    net, x, target = torch_subject(torch, name)
    words = CASES[name][3].split(":")
    optimizer = None
    if words[0] != "-":
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9 if words[0] == "momentum" else 0)

    def step():
        if optimizer:
            optimizer.zero_grad(set_to_none=True)
        else:
            net.zero_grad(set_to_none=True)
        y = net(x)
        torch.nn.functional.cross_entropy(y.reshape(-1, y.shape[-1]), target).backward()
        if optimizer:
            optimizer.step()

    step()
    step()
    print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(int(line)):
            step()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
                          "peak_mb": usage.ru_maxrss / 1024}), flush=True)


# ---- taking turns ----------------------------------------------------------------------------------------------


def clean_environment():
    """Without what would make threads and libraries differ from a user's first start."""
    names = ("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "ONEDNN_", "DNNL_")
    return {k: v for k, v in os.environ.items() if not k.startswith(names)}


class Worker:
    def __init__(self, command, **env):
        clean = {**clean_environment(), **{k: str(v) for k, v in env.items()}}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=clean, text=True)
        self.steps, self.rounds = 1, []
        self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args}: ended early, status {self.process.wait()}")
        return json.loads(line)

    def ask(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return self.read()

    def calibrate(self, seconds):
        once = min(self.ask(1)["wall"] for _ in range(2))
        self.steps = max(1, int(seconds / once))

    def round(self):
        r = self.ask(self.steps)
        self.rounds.append({"wall": r["wall"] / self.steps, "cpu": r["cpu"] / self.steps, "peak_mb": r["peak_mb"]})

    def median(self, key="wall"):
        return statistics.median(r[key] for r in self.rounds)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(workers, rounds, seconds):
    for w in workers.values():
        w.calibrate(seconds)
    for _ in range(rounds):
        for w in workers.values():
            w.round()
    for w in workers.values():
        w.close()


def run_case(name, options):
    model, batch, length, optimizer, target = CASES[name]
    ours = [options.bench, "worker", model.replace("GRAPHS", options.graphs), str(batch), str(length), optimizer]
    workers = {"ours": Worker(ours)}
    if name == "mlp_128":
        workers["peak"] = Worker([options.bench, "matmul"])
    for threads in (1, 2):
        for blas in (1, 2):
            command = [sys.executable, os.path.abspath(__file__), "--torch-worker", name, str(threads)]
            workers[f"torch {threads}x{blas}"] = Worker(command, OPENBLAS_NUM_THREADS=blas)
    measure(workers, options.rounds, options.seconds)
    best = min((w for w in workers if w.startswith("torch")), key=lambda w: workers[w].median())
    a, b = workers["ours"], workers[best]
    row = {"case": name, "ours_ms": a.median() * 1e3, "torch_ms": b.median() * 1e3, "best": best,
           "ratio": statistics.median(x["wall"] / y["wall"] for x, y in zip(a.rounds, b.rounds)),
           "target": target, "cpu": a.median("cpu") / b.median("cpu"), "ours_mb": a.median("peak_mb"),
           "torch_mb": b.median("peak_mb")}
    if "peak" in workers:  # products: forward and weight gradient of every layer, input gradient of all but the first
        sizes = [784 * 1000] + [1000 * 1000] * 4 + [1000 * 10]
        flops = 2 * batch * (2 * sizes[0] + 3 * sum(sizes[1:]))
        row["of_peak"] = flops / a.median() / (2 * 1024**3 / workers["peak"].median())
    return row


def bf16(name, options):
    model, batch, length, optimizer, _ = CASES[name]
    command = [options.bench, "worker", model, str(batch), str(length)]
    workers = {"f32": Worker(command + [optimizer]), "bf16": Worker(command + ["bf16+" + optimizer])}
    measure(workers, options.rounds, options.seconds)
    a, b = workers["bf16"], workers["f32"]
    return {"case": f"bf16_{name}", "bf16_ms": a.median() * 1e3, "f32_ms": b.median() * 1e3,
            "ratio": statistics.median(x["wall"] / y["wall"] for x, y in zip(a.rounds, b.rounds)),
            "cpu": a.median("cpu") / b.median("cpu")}


def planning(name, options):
    model, batch, length = PLANNING[name]
    command = [options.bench, "plan", model.replace("GRAPHS", options.graphs), str(batch), str(length)]
    out = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {"case": f"plan_{name}", **out, "target_ms": PLANNING_MS}


def show(row):
    print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


def main():
    if sys.argv[1:2] == ["--torch-worker"]:
        torch_worker(sys.argv[2], int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(EVERY))
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each worker's turn")
    parser.add_argument("--graphs", default=GRAPHS)
    options = parser.parse_args()
    options.bench = os.path.join(options.build, "bench", "bench_engine")
    for name in options.cases or EVERY:
        if name.startswith("bf16_"):
            show(bf16(name[5:], options))
            continue
        model = PLANNING[name[5:]][0] if name.startswith("plan_") else CASES[name][0]
        path = model.replace("GRAPHS", options.graphs)
        if path != model and not os.path.exists(path):
            print(f"{name}: skipped, {path} is not there", file=sys.stderr)
            continue
        row = planning(name[5:], options) if name.startswith("plan_") else run_case(name, options)
        show(row)


if __name__ == "__main__":
    main()
