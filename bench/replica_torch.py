"""One step of one XOR network (2-2-1, Adam) in PyTorch: seconds, the least of three runs."""
import json
import time

import torch

torch.set_num_threads(1)
model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]])
t = torch.tensor([[0.0], [1], [1], [0]])
adam = torch.optim.Adam(model.parameters(), lr=0.01)


def steps(n):
    start = time.perf_counter()
    for _ in range(n):
        adam.zero_grad()
        torch.nn.functional.binary_cross_entropy_with_logits(model(x), t).backward()
        adam.step()
    return (time.perf_counter() - start) / n


steps(100)
print(json.dumps({"torch": torch.__version__, "seconds_per_step": min(steps(500) for _ in range(3))}))
