"""An epoch of 60 000 images of 28 x 28: `fanin train` beside a PyTorch loop, one line a network.

    FANIN_DATA=DIR python3 bench/bench_train.py [--build build] [--rounds 5] [--threads 2] [CASE ...]

The images are DIR/mnist where it is, else random ones, in memory on both sides; batches are shuffled. A round is a part of
an epoch, steps x batch samples; both sides take turns. Ours is the time between the first and the last evaluation (of one
sample) as the verb reports it: batches, steps and updates, without start and reading, which `start_s` shows. PyTorch takes
rows of a tensor by a random permutation, the fastest of its ways; it runs in the setting, of threads up to ours x
OPENBLAS_NUM_THREADS, that is best in a short turn of each. Medians of the rounds, wall clock; `epoch_s` are
scaled to a whole epoch, `ratio` is the median of ours by theirs."""
import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from bench_engine import MLP, Worker, clean_environment, torch_subject

SAMPLES, CLASSES = 60000, 10
# name: MODEL, scheme, batch, steps a round, target ratio, the engine's case that has the same network
CASES = {
    "mlp_10": (MLP, "xavier", 10, 600, 0.5, "mlp_10"),
    "lenet5_32": ("lenet5", "he", 32, 300, 0.7, "lenet5_128"),
}
MNIST = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")


def make_arrays(folder):
    """Random images and classes as a pair of files."""
    import numpy
    rng = numpy.random.default_rng(0)
    numpy.save(os.path.join(folder, "x.npy"), rng.random((SAMPLES, 784), dtype=numpy.float32))
    numpy.save(os.path.join(folder, "t.npy"), rng.integers(0, CLASSES, SAMPLES))


def read_arrays(folder):
    import numpy
    if os.path.exists(os.path.join(folder, "x.npy")):
        return numpy.load(os.path.join(folder, "x.npy")), numpy.load(os.path.join(folder, "t.npy"))
    raw = [gzip.open(os.path.join(folder, name)).read() for name in MNIST]
    x = numpy.frombuffer(raw[0], numpy.uint8, offset=16).reshape(SAMPLES, 784)
    return x.astype(numpy.float32) / 255, numpy.frombuffer(raw[1], numpy.uint8, offset=8).astype(numpy.int64)


def torch_worker(name, folder, threads):
    import torch
    torch.set_num_threads(threads)
    batch, subject = CASES[name][2], CASES[name][5]
    net, example, _ = torch_subject(torch, subject)
    shape = (batch,) + tuple(example.shape[1:])
    x, t = (torch.from_numpy(a) for a in read_arrays(folder))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def steps(count):
        order = torch.randperm(SAMPLES)[:count * batch]
        for rows in order.split(batch):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(net(x[rows].view(shape)), t[rows]).backward()
            optimizer.step()

    steps(2)
    print(json.dumps({"ready": True, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        steps(int(line))
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu, "peak_mb": 0}), flush=True)


def best_of_torch(name, folder, threads, steps):
    """A worker in the best setting, by the better of two short turns of each."""
    times = {}
    for count in range(1, threads + 1):
        for blas in range(1, threads + 1):
            command = [sys.executable, os.path.abspath(__file__), "--torch-worker", name, folder, str(count)]
            worker = Worker(command, OPENBLAS_NUM_THREADS=blas)
            seconds = min(worker.ask(steps)["wall"] for _ in range(2))
            times[count, blas] = seconds, worker
    best = min(times, key=lambda setting: times[setting][0])
    for setting in times:
        if setting != best:
            times[setting][1].close()
    return f"torch {best[0]}x{best[1]}", times[best][1]


def ours(name, data, steps, options):
    """Seconds of the steps, and of the rest of the process."""
    model, scheme, batch = CASES[name][:3]
    command = [os.path.join(options.build, "fanin"), "train", model, "--data", data, "--scheme", scheme, "--optimizer",
               "sgd:lr=0.01", "--batch", str(batch), "--steps", str(steps), "--eval-every", str(steps), "--eval-samples",
               "1", "--threads", str(options.threads), "--json", "--quiet"]
    begun = time.perf_counter()
    points = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=clean_environment()).stdout)["points"]
    if [p["step"] for p in points] != [0, steps]:
        raise SystemExit(f"{name}: expected evaluations at steps 0 and {steps}")
    seconds = points[-1]["seconds"] - points[0]["seconds"]
    return seconds, time.perf_counter() - begun - seconds


def run_case(name, data, folder, options):
    batch, steps, target = CASES[name][2:5]
    steps = max(1, int(steps * options.share))
    best, worker = best_of_torch(name, folder, options.threads, max(1, steps // 20))
    a, b, start = [], [], []
    for _ in range(options.rounds):
        seconds, rest = ours(name, data, steps, options)
        a.append(seconds)
        start.append(rest)
        b.append(worker.ask(steps)["wall"])
    worker.close()
    epoch = SAMPLES / batch / steps
    return {"case": name, "batch": batch, "steps": steps, "threads": options.threads,
            "ours_epoch_s": statistics.median(a) * epoch, "torch_epoch_s": statistics.median(b) * epoch, "best": best,
            "ratio": statistics.median(x / y for x, y in zip(a, b)), "target": target,
            "start_s": statistics.median(start)}


def main():
    if sys.argv[1:2] == ["--torch-worker"]:
        torch_worker(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--build", default="build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="ours, and the most of PyTorch's")
    parser.add_argument("--share", type=float, default=1, help="of the steps of a round")
    options = parser.parse_args()
    mnist = os.path.join(os.environ.get("FANIN_DATA") or "data", "mnist")
    with tempfile.TemporaryDirectory() as scratch:
        data, folder = "mnist", mnist
        if not all(os.path.exists(os.path.join(mnist, name)) for name in MNIST):
            folder = scratch
            make_arrays(folder)
            data = ",".join(os.path.join(folder, name) for name in ("x.npy", "t.npy"))
        for name in options.cases or list(CASES):
            row = run_case(name, data, folder, options)
            row["data"] = data if data == "mnist" else "random"
            print(json.dumps({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
