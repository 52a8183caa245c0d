"""
More nodes that start one image at once than a machine can run: the planning code of the nodes (node/plan.c), over links
that are reckoned (simulation.h). The same figures each time.
"""

import os

from support.process import binary, run

# Nodes, connections that one keeps at most, peers that the tracker tells one of.
ROWS = ((8, 60, 50), (16, 60, 50), (100, 120, 120), (100, 60, 50), (200, 60, 50), (1000, 30, 20), (1000, 60, 50),
        (1000, 100, 50))


def simulation(_folder):
    build = os.path.join(os.path.dirname(binary("")), "..")
    run(["cmake", "--build", build, "--target", "simulate_plan"])
    print("| nodes | peers each | copies from the gateway | requests | first, s | median | last | × ideal |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for nodes, connections, want in ROWS:
        row = run([os.path.join(build, "bench", "simulate_plan"), "--nodes", str(nodes), "--connections", str(connections),
                   "--want", str(want)])
        print(row.stdout, end="", flush=True)
