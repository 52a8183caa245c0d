"""
./dev bench [torrents] [announces] [webseed] [nodes] [simulation]: our programs against others in the same run, in turns,
as the median of ratios; for a single figure moves by a third from minute to minute on a shared machine. Its tables are
copied to docs/performance.md.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tests"))

from announces import announces  # noqa: E402
from nodes import nodes  # noqa: E402
from simulation import simulation  # noqa: E402
from torrents import torrents  # noqa: E402
from webseed import webseed  # noqa: E402

PARTS = {"torrents": torrents, "announces": announces, "webseed": webseed, "nodes": nodes,
         "simulation": simulation}


def main(wanted):
    unknown = set(wanted) - set(PARTS)
    if unknown:
        sys.exit(f"./dev bench [{'] ['.join(PARTS)}]: there is no {', '.join(sorted(unknown))}")
    for part in wanted or PARTS:
        with tempfile.TemporaryDirectory(prefix="swarmgate-bench-") as folder:
            PARTS[part](folder)


if __name__ == "__main__":
    main(sys.argv[1:])
