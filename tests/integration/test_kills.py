"""A short run of support/kills.py: nothing acknowledged is lost, and nothing is out that the audit log lacks."""

from support.kills import run_kills


def test_kills(tmp_path):
    assert run_kills(str(tmp_path), 15, 5)
