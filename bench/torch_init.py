"""kaiming_normal_ of COUNT matrices ROWS x COLS on one thread, in memory that is already there: seconds and
processor seconds of the best of three rounds, as JSON. Called by bench_init."""
import json
import sys
import time

import torch

count, rows, cols = map(int, sys.argv[1:4])
torch.set_num_threads(1)
matrices = [torch.zeros(rows, cols) for _ in range(count)]
wall, cpu = [], []
for _ in range(3):
    a, b = time.perf_counter(), time.process_time()
    for m in matrices:
        torch.nn.init.kaiming_normal_(m)
    wall.append(time.perf_counter() - a)
    cpu.append(time.process_time() - b)
print(json.dumps({"seconds": min(wall), "cpu_seconds": min(cpu), "torch": torch.__version__}))
