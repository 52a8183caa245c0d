"""What cmake --install puts where it is told."""

import os
import re

import pytest
from support.process import binary, run


@pytest.mark.parametrize("unit, name", [("swarmgated", "swarmgated"), ("swarmgate-agent", "swarmgate")])
def test_the_unit_names_the_program_beside_it(tmp_path, unit, name):
    build = os.path.dirname(os.path.dirname(binary("swarmgated")))
    run(["cmake", "--install", build, "--prefix", str(tmp_path)])
    with open(tmp_path / "lib/systemd/system" / f"{unit}.service", encoding="utf-8") as f:
        program = re.search(r"^ExecStart=(\S+)", f.read(), re.MULTILINE)[1]
    assert program == str(tmp_path / "bin" / name) and os.access(program, os.X_OK)
