"""The manual, the programs' own help, the table of keys and the sample configuration say the same."""

import os
import re

import pytest
import yaml
from support.process import binary, run

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def read(*path):
    with open(os.path.join(TOP, *path), encoding="utf-8") as f:
        return f.read()


def page(name):
    """A manual page's text without the signs of its markup."""
    return re.sub(r"\\(.)", r"\1", read("docs", "man", name + ".scd"))


def sections(text, mark):
    """Text by heading, of headings that begin with `mark`; a section ends at any other heading."""
    parts = re.split(r"^(#+) (.*)$", text, flags=re.M)
    return {parts[i + 1]: parts[i + 2] for i in range(1, len(parts), 3) if parts[i] == mark}


def commands():
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?)  +\S", run([binary("swarmgate"), "--help"]).stdout, re.M)


def test_every_command_has_a_section():
    found = commands()
    assert len(found) >= 12
    assert found == list(sections(page("swarmgate.1"), "##"))


def test_options_of_commands():
    for command in commands():
        help_text = run([binary("swarmgate"), *command.split(), "--help"]).stdout
        assert help_text.startswith(f"usage: swarmgate {command}")
        assert set(OPTION.findall(help_text)) == set(OPTION.findall(sections(page("swarmgate.1"), "##")[command])), command


def test_options_of_the_server():
    help_text = run([binary("swarmgated"), "--help"]).stdout
    assert set(OPTION.findall(help_text)) | {"--help"} == set(OPTION.findall(sections(page("swarmgated.8"), "#")["OPTIONS"]))


@pytest.mark.parametrize("command", ["user remove", "user ungrant", "revoke"])
def test_what_the_registry_honours_is_said(command):
    """integration/test_token_registry.py has it that it does."""
    text = re.sub(r"\s+", " ", sections(page("swarmgate.1"), "##")[command])
    assert re.search(r"honours a registry token that was issued already[^.]* until its _exp_", text)


def test_files_that_the_maps_name_are_there():
    """And each of the token service's is named in docs/architecture.md."""
    text = read("docs", "architecture.md")
    section = sections(text, "##")["The token service"]
    named = re.findall(r"`([a-z_/]+\.c)`", section)
    files = {path if "/" in path else f"gateway/{path}" for path in named}
    assert all(os.path.exists(os.path.join(TOP, path)) for path in files), files
    ours = {f"gateway/{name}" for name in os.listdir(os.path.join(TOP, "gateway")) if re.fullmatch(r"(token_|login|guesses|refusals).*\.c", name)}
    assert ours == {path for path in files if path.startswith("gateway/")}
    room = next(line for line in read("CONTRIBUTING.md").splitlines() if line.startswith("| `gateway/`"))
    for name in re.findall(r"`([a-z_]+\.c)`", room):
        assert os.path.exists(os.path.join(TOP, "gateway", name)), name


def test_help_fits_80_columns():
    for argv in (["swarmgate", "--help"], ["swarmgated", "--help"], *(["swarmgate", *c.split(), "--help"] for c in commands())):
        for line in run([binary(argv[0]), *argv[1:]]).stdout.splitlines():
            assert len(line) <= 80, (argv, line)


def keys_of(tables, name, prefix=""):
    """Paths of a table's keys and of those below, each with whether it is supported."""
    found = {}
    for key, rest in re.findall(r'\{"(\w+)"((?:[^{}]|\{[^{}]*\})*)\}', tables[name]):
        below = re.search(r"KEYS\((\w+)\)", rest)
        if below:
            found.update(keys_of(tables, below[1], f"{prefix}{key}."))
        else:
            found[prefix + key] = "SETTING_LATER" not in rest and "SETTING_EMPTY" not in rest
    return found


@pytest.fixture(scope="module")
def keys():
    """The keys of config/settings.c, as `tracker.url`: whether they are supported."""
    tables = dict(re.findall(r"struct setting (\w+)\[\] = \{\n(.*?)\n\};", read("config", "settings.c"), re.S))
    found = keys_of(tables, "settings_top")
    assert len(found) > 40 and found["tracker.numwant.max"] and not found["gateway.squash_on_push"]
    return found


def test_every_key_is_in_the_manual(keys):
    text = page("swarmgated.yaml.5")
    described = {name for name in re.findall(r"\*([a-z_.]+)\*(?=[:,])", sections(text, "#")["KEYS"] + "".join(sections(text, "##").values()))
                 if "." in name or name in keys}
    assert described - {"auth.trust"} == {name for name, supported in keys.items() if supported}
    refused = set(re.findall(r"_([a-z_]+(?:\.[a-z_]+)*)_(?=[,;.])", sections(text, "#")["NOT SUPPORTED YET"]))
    assert refused - {"keys", "store"} == {name for name, supported in keys.items() if not supported}


@pytest.fixture(scope="module")
def node_keys():
    """The keys of config/node.c."""
    tables = dict(re.findall(r"struct setting (\w+)\[\] = \{\n(.*?)\n\};", read("config", "node.c"), re.S))
    found = set(keys_of(tables, "node"))
    assert len(found) > 10 and "store.max_size" in found
    return found


def test_every_key_of_a_node_is_in_its_manual_and_sample(node_keys):
    heads = re.findall(r"^\*.*", sections(page("swarmgate-node.yaml.5"), "#")["KEYS"], re.M)
    described = set(re.findall(r"\*([a-z_.]+)\*", "\n".join(heads)))
    assert described == node_keys
    sample = read("deploy", "node.yaml")
    full = re.sub(r"^# ([a-z_]+:(?: .*)?)$", r"\1", sample, flags=re.M)
    for text, named in (sample, False), (full, True):
        found = {path.replace("gateways.registry.example", "gateways") for path in paths(yaml.safe_load(text))}
        assert found == node_keys if named else found < node_keys


def paths(node, prefix=""):
    if isinstance(node, list):
        rows = [row for row in node if isinstance(row, dict)]
        return set().union(*(paths(row, prefix) for row in rows)) if rows else {prefix}
    if isinstance(node, dict):
        return set().union(*(paths(value, f"{prefix}.{key}" if prefix else key) for key, value in node.items()))
    return {prefix}


def test_every_key_is_in_the_sample(keys):
    """The sample is YAML with and without what is commented out in it, and then has every key."""
    sample = read("deploy", "swarmgated.yaml")
    assert paths(yaml.safe_load(sample)) <= set(keys)
    full = re.sub(r"^( *)# ( *(?:- )?[a-z_]+:(?: .*)?)$", r"\1\2", sample, flags=re.M)
    assert paths(yaml.safe_load(full)) == {name for name, supported in keys.items() if supported}
