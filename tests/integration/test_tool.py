"""swarmgate and swarmgated as a person at a terminal meets them: output, errors, exit codes."""

import base64
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess

import pytest
from conftest import registry_row
from support.gate import Gate
from support.image import small_image
from support.jws import unb64
from support.process import binary, run


def tool(*argv, **more):
    return run([binary("swarmgate"), *argv], check=False, **more)


def one_line(done, status):
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("swarmgate: "), done.stderr
    return done.stderr


@pytest.mark.parametrize("argv", [
    [], ["torrent"], ["nonsense"], ["torrent", "nonsense"], ["torrent", "create"], ["torrent", "create", "a:b", "c"],
    ["torrent", "create", "blob:x", "--nonsense"], ["torrent", "create", "blob:x", "--format", "v3"],
    ["torrent", "create", "blob:x", "--piece-length", "12345"], ["torrent", "create", "blob:x", "--output"],
    ["torrent", "create", "blob:/etc/passwd", "--announce", ""], ["torrent", "create", "blob:/etc/passwd", "--webseed", "host/path"],
    ["torrent", "create", "blob:/etc/passwd", "--announce", "http://h/a b"], ["torrent", "create", "blob:/etc/passwd", "--tls-verify=x"],
    ["torrent", "create", "blob:/etc/passwd", "--tls-verify", "false"], ["torrent", "create", "docker://UPPER/Case"], ["torrent", "create", "nonsense:x"], ["key", "generate", "--use", "x", "--out", "k"],
    ["key", "generate", "--use", "announce"], ["key", "generate", "--use", "registry", "--alg", "EdDSA", "--out", "k"],
    ["token", "issue"], ["db", "stats"], ["db", "check", "--config", "/does/not/exist"], ["torrent", "list"],
])
def test_wrong_usage(argv, tmp_path):
    done = tool(*argv, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr, (argv, done)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("argv,says", [
    (["https://alice:hunter2@host/name"], "***@host/name"), (["docker:alice:hunter2@host/name"], "***@host/name"),
    (["docker://alice:hunter2@host/name"], "--creds"), (["docker://host/name", "--creds", "alice", "hunter2"], "one argument too many"),
    (["docker://host/name", "--password=hunter2"], "--password: no such option"),
    (["docker://host/name", "--json=hunter2"], "--json: takes no value"),
    (["docker://host/name", "--creds", "hunter2"], "--creds: USER:PASSWORD is wanted"),
    (["docker://host/name", "--announce", "alice:hunter2@host/announce?jwt=hunter2"], "--announce: a URL is wanted"),
])
def test_errors_tell_no_password(argv, says, tmp_path):
    done = tool("torrent", "create", *argv, cwd=tmp_path)
    assert says in one_line(done, 2) and "hunter2" not in done.stderr, done.stderr


def test_help_and_version():
    for program in ("swarmgate", "swarmgated"):
        assert run([binary(program), "--version"]).stdout.startswith(program + " 0.")
        assert "usage:" in run([binary(program), "--help"]).stdout
    assert "--register" in tool("torrent", "create", "--help").stdout


@pytest.mark.parametrize("argv,says", [
    ([], "--config"), (["--config"], "config"), (["--nonsense"], "nonsense"), (["--config", "x", "y"], "arguments"),
    (["--config", "/does/not/exist"], "/does/not/exist"),
])
def test_wrong_usage_of_the_server(argv, says):
    done = run([binary("swarmgated"), *argv], check=False)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and says in done.stderr, done


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["torrent", "create", "--help"], ["token", "inspect", "e30.e30.AAAA"]])
def test_output_that_cannot_be_written(argv):
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([binary("swarmgate"), *argv], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert "No space left" in one_line(done, 1)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        # As a shell starts it: python itself ignores SIGPIPE, and children inherit that.
        done = subprocess.run([binary("swarmgate"), *argv], stdout=writer, stderr=subprocess.PIPE, text=True, check=False,
                              restore_signals=True)
    finally:
        os.close(writer)
    assert "Broken pipe" in one_line(done, 1)


def test_tls_verify_as_skopeo_takes_it(tmp_path):
    for flag in ("--tls-verify", "--tls-verify=true", "--tls-verify=false"):
        done = tool("torrent", "create", "docker://127.0.0.1:1/team/app:1", flag, "--output", tmp_path)
        assert "connect" in one_line(done, 1)


def test_blob_show_verify(tmp_path):
    data = os.urandom(700_000)
    blob = tmp_path / "blob"
    blob.write_bytes(data)
    done = tool("torrent", "create", f"blob:{blob}", "--output", tmp_path / "new" / "out", "--announce", "http://t/announce?jwt=SECRET",
                "--announce", "http://u/announce", "--webseed", "http://w/webseed/SECRET/")
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256(data).hexdigest()
    file = tmp_path / "new" / "out" / f"sha256-{digest}.torrent"
    index = json.loads((tmp_path / "new" / "out" / "index.json").read_text())
    assert [blob["digest"] for blob in index["blobs"]] == ["sha256:" + digest] and index["blobs"][0]["file"] == file.name
    shown = tool("torrent", "show", file).stdout
    assert index["blobs"][0]["infohash"] in shown and "SECRET" not in shown and "http://u/announce" in shown
    assert tool("torrent", "verify", file, blob).returncode == 0
    blob.write_bytes(data[:400_000] + b"\x00" + data[400_001:] if data[400_000] else data[:400_000] + b"\x01" + data[400_001:])
    assert "piece" in one_line(tool("torrent", "verify", file, blob), 5)
    blob.write_bytes(data[:-1])
    one_line(tool("torrent", "verify", file, blob), 5)
    one_line(tool("torrent", "verify", file, tmp_path / "missing"), 4)
    one_line(tool("torrent", "show", tmp_path / "missing"), 4)
    (tmp_path / "bad.torrent").write_bytes(b"d4:infod" + b"l" * 5000)
    one_line(tool("torrent", "show", tmp_path / "bad.torrent"), 1)


def test_same_torrent_everywhere(tmp_path):
    (tmp_path / "blob").write_bytes(b"x" * 1_000_000)
    for out in ("a", "b"):
        assert tool("torrent", "create", f"blob:{tmp_path}/blob", "--output", tmp_path / out, "--announce", "http://t/announce").returncode == 0
    names = os.listdir(tmp_path / "a")
    assert names == os.listdir(tmp_path / "b")
    name = next(name for name in names if name.endswith(".torrent"))
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_keys(tmp_path):
    for alg in ("ES256", "RS256", "EdDSA"):
        out = tmp_path / f"{alg}.pem"
        assert tool("key", "generate", "--use", "announce", "--alg", alg, "--out", out).returncode == 0
        assert stat.S_IMODE(os.stat(out).st_mode) == 0o600
        before = out.read_bytes()
        assert "exists" in one_line(tool("key", "generate", "--use", "announce", "--alg", alg, "--out", out), 1)
        assert out.read_bytes() == before
    keys = json.loads(tool("key", "jwks", *sorted(tmp_path.glob("*.pem"))).stdout)["keys"]
    assert [key["alg"] for key in keys] == ["ES256", "EdDSA", "RS256"]
    assert all(key["use"] == "sig" and key["kid"] and "d" not in key for key in keys)
    one_line(tool("key", "jwks", tmp_path / "missing"), 4)


def test_tokens(tmp_path):
    gate = Gate(str(tmp_path))
    token = gate.token("ab" * 20, "cd" * 32, ttl="90s", session="2h")
    claims = json.loads(unb64(token.split(".")[1]))
    assert claims["exp"] - claims["iat"] == 90 and claims["session"] - claims["iat"] == 7200
    assert claims["infohash"] == ["ab" * 20, "cd" * 32]
    assert json.loads(tool("token", "inspect", token).stdout)["claims"] == claims
    assert tool("token", "verify", "--config", gate.config, "-", input=token + "\n").returncode == 0
    forged = ".".join([*token.split(".")[:2], base64.urlsafe_b64encode(bytes(64)).rstrip(b"=").decode()])
    one_line(tool("token", "verify", "--config", gate.config, forged), 3)
    one_line(tool("token", "inspect", "x.y"), 3)
    one_line(tool("token", "issue", "--config", gate.config, "--sub", "x", "--infohash", "zz"), 2)
    one_line(tool("token", "issue", "--config", gate.config, "--infohash", "ab" * 20), 2)
    os.chmod(gate.key, 0o644)
    assert "chmod" in one_line(tool("token", "issue", "--config", gate.config, "--sub", "x", "--infohash", "ab" * 20), 2)


def test_registry_token(tmp_path):
    gate = Gate(str(tmp_path), token_service={"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"})
    gate.tool("key", "generate", "--use", "registry", "--out", tmp_path / "registry.pem")
    token = gate.tool("token", "issue", "--config", gate.config, "--registry-scope", "repository:team/app:pull", "--sub", "alice").stdout.strip()
    head, claims = (json.loads(unb64(part)) for part in token.split(".")[:2])
    assert claims["access"] == [{"type": "repository", "name": "team/app", "actions": ["pull"]}]
    assert claims["aud"] == "registry.example" and len(head["kid"].split(":")) == 12
    refused = run([binary("swarmgated"), "--config", gate.config], check=False)
    assert refused.returncode == 2 and "there is no gateway" in refused.stderr


@pytest.mark.parametrize("keys", ["keys.json", "issuer/registry.pem"])
def test_registry_token_opens_what_is_registered(registry, tmp_path, keys):
    """A token of the registry's own issuer covers the infohashes registered to its repositories."""
    from support.announce import announce, failure
    service = {"issuer": "auth.example", "service": "registry.example", "signing_key": "registry.pem"}
    issuer = Gate(str(tmp_path / "issuer"), token_service=service)
    issuer.tool("key", "generate", "--use", "registry", "--out", tmp_path / "issuer" / "registry.pem")
    (tmp_path / "keys.json").write_text(issuer.tool("key", "jwks", tmp_path / "issuer" / "registry.pem").stdout)
    trust = [{"issuer": "auth.example", "audience": "registry.example", "keys": str(tmp_path / keys),
              "algorithms": ["ES256"], "accept": ["registry"], "registry": "registry.example"}]
    with Gate(str(tmp_path), [registry_row(registry, str(tmp_path))], auth={"trust": trust}) as gate:
        index = json.loads(gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--json", "--config",
                                     gate.config, "--authfile", registry.auth_file("alice")).stdout)
        infohash = index["blobs"][0]["infohash"]

        def token(name):
            return issuer.tool("token", "issue", "--config", issuer.config, "--registry-scope", f"repository:{name}:pull", "--sub",
                               "alice").stdout.strip()

        assert failure(announce(gate.tracker, infohash, token("team/app"))) is None
        assert failure(announce(gate.tracker, infohash, token("other/app"))) == "not authorised for this torrent"
        assert failure(announce(gate.tracker, "00" * 20, token("team/app"))) == "not authorised for this torrent"


def test_sources_agree(registry, tmp_path):
    """docker://, oci: and docker-archive: of one image; what skopeo made, we read."""
    source = f"docker://{registry.address}/team/app:1"
    auth = registry.auth_file("alice")
    run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--src-authfile", auth, source, f"oci:{tmp_path}/oci:1"])
    run(["skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false", "--src-authfile", auth, source,
         f"docker-archive:{tmp_path}/archive.tar:team/app:1"])
    made = {}
    for name, ref in (("docker", source), ("oci", f"oci:{tmp_path}/oci:1"), ("archive", f"docker-archive:{tmp_path}/archive.tar")):
        done = tool("torrent", "create", ref, "--authfile", auth, "--json", "--output", tmp_path / name)
        assert done.returncode == 0, done.stderr
        made[name] = json.loads(done.stdout)
    assert made["docker"]["digest"] == made["oci"]["digest"]
    assert made["docker"]["blobs"] == made["oci"]["blobs"]
    diffs = [blob["digest"] for blob in made["archive"]["blobs"][1:]]
    with open(f"{tmp_path}/oci/blobs/sha256/{made['oci']['blobs'][0]['digest'][7:]}", encoding="utf-8") as f:
        assert diffs == json.load(f)["rootfs"]["diff_ids"]


@pytest.mark.skipif(os.geteuid() != 0, reason="a folder of root's is mounted over")
def test_a_login_without_a_runtime_folder(registry, tmp_path):
    """Where podman and skopeo put it when they are run by sudo."""
    argv = [binary("swarmgate"), "torrent", "create", f"docker://{registry.address}/team/app:1", "--output", tmp_path / "out"]
    script = ('mkdir -p /run/containers && mount -t tmpfs none /run/containers && '
              'skopeo login --tls-verify=false -u alice --password-stdin "$0" > /dev/null && exec "$@"')
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = run(["unshare", "--mount", "sh", "-c", script, registry.address, *argv], check=False, input=registry.users["alice"], env=env)
    assert done.returncode == 0, done.stderr


def test_registry_errors(registry, tmp_path):
    source = f"docker://{registry.address}/team/app:1"
    one_line(tool("torrent", "create", source, "--output", tmp_path, env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}), 3)
    one_line(tool("torrent", "create", source, "--output", tmp_path, "--creds", "alice:wrong"), 3)
    one_line(tool("torrent", "create", f"docker://{registry.address}/team/app:none", "--output", tmp_path, "--authfile",
                  registry.auth_file("alice")), 4)
    one_line(tool("torrent", "create", f"docker://{registry.address}/no/such:1", "--output", tmp_path, "--authfile",
                  registry.auth_file("alice")), 4)
    one_line(tool("torrent", "create", "docker://127.0.0.1:1/team/app:1", "--output", tmp_path), 1)
    one_line(tool("torrent", "create", f"oci:{tmp_path}/none", "--output", tmp_path), 4)
    one_line(tool("torrent", "create", f"blob:{tmp_path}/none", "--output", tmp_path), 4)


def test_list_remove_stats_check(gate, registry):
    def create():
        gate.tool("torrent", "create", f"docker://{registry.address}/team/app:1", "--register", "--config", gate.config, "--authfile",
                  registry.auth_file("alice"))

    create()
    create()
    listed = json.loads(gate.tool("torrent", "list", "--config", gate.config, "--json").stdout)
    assert len(listed) == 3
    assert all(entry["repositories"] == [{"registry": "registry.example", "repository": "team/app"}] for entry in listed)
    assert "torrents" in gate.tool("db", "stats", "--config", gate.config).stdout
    assert "all sound" in gate.tool("db", "check", "--config", gate.config).stdout
    gate.tool("torrent", "remove", "--config", gate.config, listed[0]["infohash"])
    assert len(json.loads(gate.tool("torrent", "list", "--config", gate.config, "--json").stdout)) == 2
    one_line(gate.tool("torrent", "remove", "--config", gate.config, listed[0]["infohash"], check=False), 4)


@pytest.fixture
def register(tmp_path):
    """Registers a file of this name, and returns what came of it and what is registered then."""
    gate = Gate(str(tmp_path / "gate"), [{"name": "registry.example", "url": "http://127.0.0.1:1"}])

    def register_one(name, *more):
        (tmp_path / name).write_bytes(b"some bytes")
        done = gate.tool("torrent", "create", f"blob:{tmp_path / name}", "--register", "--config", gate.config, "--repository", "team/app",
                         *more, check=False)
        return done, json.loads(gate.tool("torrent", "list", "--config", gate.config, "--json").stdout)

    return register_one


def test_nothing_is_registered_that_cannot_be_written(register, tmp_path):
    (tmp_path / "out" / "index.json").mkdir(parents=True)
    done, listed = register("blob", "--output", tmp_path / "out")
    assert "index.json" in one_line(done, 1) and listed == []
    (tmp_path / "out" / "index.json").rmdir()
    done, listed = register("blob", "--output", tmp_path / "out")
    assert done.returncode == 0 and len(listed) == 1
    assert json.loads((tmp_path / "out" / "index.json").read_text())["blobs"][0]["infohash"] == listed[0]["infohash"]


def test_a_folder_that_is_used_again(tmp_path):
    """index.json is of what is beside it: gone before another run's first torrent comes, back when all is well."""
    out, layout = tmp_path / "out", tmp_path / "layout"
    small_image(str(layout), "again")
    (tmp_path / "blob").write_bytes(b"other bytes")
    assert tool("torrent", "create", f"blob:{tmp_path}/blob", "--output", out).returncode == 0
    other = set(os.listdir(out)) - {"index.json"}
    # What fails before it has written anything changes nothing.
    one_line(tool("torrent", "create", f"oci:{tmp_path}/none", "--output", out), 4)
    assert set(os.listdir(out)) == other | {"index.json"}
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = layer.read_bytes()
    layer.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    one_line(tool("torrent", "create", f"oci:{layout}", "--output", out), 5)
    assert set(os.listdir(out)) == other
    layer.write_bytes(data)
    assert tool("torrent", "create", f"oci:{layout}", "--output", out).returncode == 0
    assert len(os.listdir(out)) == 1 + 1 + 3


def test_nothing_stays_that_could_not_be_registered(tmp_path):
    """A name that no key of the database holds fails last."""
    gate = Gate(str(tmp_path / "gate"))
    (tmp_path / "blob").write_bytes(b"some bytes")
    argv = ["torrent", "create", f"blob:{tmp_path}/blob", "--register", "--config", gate.config, "--repository", "team/app", "--output",
            tmp_path / "out", "--json"]
    done = gate.tool(*argv, "--registry", "x" * 600, check=False)
    one_line(done, 2)
    assert done.stdout == "" and os.listdir(tmp_path / "out") == []
    gate.tool(*argv, "--registry", "x")
    assert len(os.listdir(tmp_path / "out")) == 2


@pytest.mark.parametrize("rows,host,more,says", [
    # An image of a registry that is not configured is none of one that is, were it the only one.
    (["http://127.0.0.1:2"], "127.0.0.1:1", [], (2, "has no registry 127.0.0.1:1: give --registry NAME")),
    (["http://127.0.0.1:1"], "registry.example", [], (2, "has no registry registry.example: give --registry NAME")),
    (["http://127.0.0.1:2", "http://127.0.0.1:3"], "127.0.0.1:1", [], (2, "--registry")),
    (["http://127.0.0.1:2"], "127.0.0.1:1", ["--registry", "row0"], (1, "connect")),
    (["http://127.0.0.1:2", "http://127.0.0.1:1/below"], "127.0.0.1:1", [], (1, "connect")),
    (["http://127.0.0.1:2", "http://LOCALHOST:1"], "localhost:1", [], (1, "connect")),
    (["https://127.0.0.1:443"], "127.0.0.1", [], (1, "connect")),
    (["http://127.0.0.1:12"], "127.0.0.1:1", [], (2, "--registry")),
    (["http://127.0.0.1:2", "https://registry-1.docker.io"], "docker.io", [], (1, "connect")),
    (["http://127.0.0.1:2", "https://index.docker.io/"], "registry-1.docker.io", [], (1, "connect")),
    (["http://127.0.0.1:2", "https://index.docker.io/"], "index.docker.io", [], (1, "connect")),
])
def test_registry_of_an_image(tmp_path, rows, host, more, says):
    """A row of the configuration is found before the registry is asked, which fails here whatever its name is."""
    gate = Gate(str(tmp_path / "gate"), [{"name": f"row{n}", "url": url} for n, url in enumerate(rows)])
    proxy = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy")}
    done = gate.tool("torrent", "create", f"docker://{host}/team/app:1", "--register", "--config", gate.config, *more, check=False,
                     env={"HOME": str(tmp_path), **proxy})
    assert says[1] in one_line(done, says[0]), done.stderr


def test_source_must_be_what_json_can_hold(register, tmp_path):
    """A name in Latin-1 is refused before anything is hashed."""
    for more in (["--output", tmp_path / "out"], ["--json"], []):
        done, listed = register("lat\udce9", *more)
        assert "not UTF-8" in one_line(done, 2) and listed == [] and done.stdout == ""
    assert not (tmp_path / "out").exists()
    done, listed = register("caf\u00e9", "--json")
    assert json.loads(done.stdout)["image"] == f"blob:{tmp_path}/caf\u00e9" and len(listed) == 1


@pytest.mark.parametrize("change,says", [
    ({"trackr": {}}, "trackr"), ({"tracker": {"listen": "127.0.0.1:1"}}, "tracker.listen"), ({"tracker": {"interval": "900"}}, "tracker.interval"),
    ({"tracker": {"tls": {"certificate": "a", "key": "b"}}}, "a: "), ({"tracker": {"zones": {"a": ["10.0.0.0/8"]}}}, "not supported yet"),
    ({"tracker": {"store": "redis://h:1/0"}}, "not supported yet"), ({"tracker": {"revocations": "http://x/"}}, "public keys only"),
    ({"tracker": {"trusted_proxies": ["10.0.0.1/8"]}}, "first address"), ({"admin": {"listen": ["127.0.0.1:0"]}}, "admin.listen"),
    ({"auth": {"signing_keys": ["announce.pem", "missing.pem"]}}, ": auth.signing_keys[1]: "), ({"tracker": None, "gateway": None}, "nothing"),
])
def test_configuration_is_checked(tmp_path, change, says):
    gate = Gate(str(tmp_path), **change)
    for more in (["--check-config"], []):
        done = run([binary("swarmgated"), "--config", gate.config, *more], check=False)
        assert done.returncode == 2 and says in done.stderr and "swarmgated.yaml" in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1


def test_every_key_file_is_told_with_its_key(tmp_path):
    """Missing, or one that others may read, for the server and for the tool that signs."""
    gate = Gate(str(tmp_path), [{"name": "r", "url": "http://127.0.0.1:9"}], auth={"trust": [{
        "issuer": "i", "audience": "a", "keys": "trust.pem", "algorithms": ["ES256"], "accept": ["registry"]}]},
        token_service={"issuer": "i", "service": "s", "signing_key": "registry.pem"})
    paths = {"auth.signing_keys[0]": "announce.pem", "token_service.signing_key": "registry.pem", "auth.trust[0].keys": "trust.pem"}
    for path in paths.values():
        shutil.copy(gate.key, tmp_path / path) if path != "announce.pem" else None
    issue = ["--config", gate.config, "--sub", "a"]
    tools = {"auth.signing_keys[0]": ["--infohash", "ab" * 20], "token_service.signing_key": ["--registry-scope", "repository:a:pull"]}

    def said_rightly():
        return run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)

    assert said_rightly().returncode == 0
    for key, path in paths.items():
        begin = re.compile(rf"{re.escape(gate.config)}:\d+: {re.escape(key)}: .*{re.escape(path)}")
        os.chmod(tmp_path / path, 0o640)
        assert begin.search(said := said_rightly().stderr) and "chmod 600" in said, said
        os.rename(tmp_path / path, tmp_path / "away")
        assert begin.search(said := said_rightly().stderr), said
        if key in tools:
            assert begin.search(said := one_line(tool("token", "issue", *issue, *tools[key]), 2)), said
        os.rename(tmp_path / "away", tmp_path / path)
        os.chmod(tmp_path / path, 0o600)


@pytest.mark.parametrize("text,says", [(None, "No such file"), ("nonsense", "no certificate"), ("", "no certificate")])
def test_authorities_of_a_registry_are_checked(tmp_path, text, says):
    if text is not None:
        (tmp_path / "ca.crt").write_text(text)
    gate = Gate(str(tmp_path), [{"name": "r", "url": "https://127.0.0.1:1", "ca_file": "ca.crt"}])
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == 2 and says in done.stderr and "ca.crt" in done.stderr and "swarmgated.yaml:" in done.stderr, done.stderr


@pytest.mark.parametrize("text,mode,says", [("x", 0o600, "64 hex digits"), ("0" * 64, 0o640, "chmod"), ("0" * 9999, 0o600, "larger"),
                                            ("ab" * 32 + "\n", 0o600, None)], ids=["short", "readable", "long", "good"])
def test_session_key_is_checked(tmp_path, text, mode, says):
    gate = Gate(str(tmp_path), tracker={"session_key": "s.key"})
    (tmp_path / "s.key").write_text(text)
    os.chmod(tmp_path / "s.key", mode)
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"], check=False)
    assert done.returncode == (0 if says is None else 2) and (says or "") in done.stderr, done.stderr
    assert says is None or re.search(r"swarmgated\.yaml:\d+: tracker\.session_key: ", done.stderr), done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for others")
def test_what_root_makes_belongs_to_the_owner_of_data_dir(tmp_path):
    os.mkdir(tmp_path / "data")
    os.chown(tmp_path / "data", 65534, 65534)
    with Gate(str(tmp_path)):
        pass
    made = ["data/session.key", "data/db", "data/db/data.mdb", "data/db/lock.mdb"]
    assert [(os.stat(tmp_path / name).st_uid, os.stat(tmp_path / name).st_gid) for name in made] == [(65534, 65534)] * 4


def test_check_config_runs_nothing(tmp_path):
    gate = Gate(str(tmp_path))
    assert run([binary("swarmgated"), "--config", gate.config, "--check-config"]).returncode == 0
    assert not (tmp_path / "data").exists()


def test_smallest_configuration(tmp_path):
    from support.process import Process, free_port
    tool("key", "generate", "--use", "announce", "--out", tmp_path / "announce.pem")
    (tmp_path / "c.yaml").write_text(f"data_dir: data\ntracker:\n  listen: [\"127.0.0.1:{free_port()}\"]\nauth:\n  signing_keys: [announce.pem]\n")
    with Process([binary("swarmgated"), "--config", str(tmp_path / "c.yaml")]) as running:
        running.wait_line("ready")
        assert running.stop() == 0


def test_two_servers_on_one_port(tmp_path):
    with Gate(str(tmp_path / "a")) as first:
        second = Gate(str(tmp_path / "b"), tracker={"listen": [first.tracker]})
        done = subprocess.run([binary("swarmgated"), "--config", second.config], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1 and "in use" in done.stderr


@pytest.mark.parametrize("host,known,warned", [("0.0.0.0", False, True), ("[::]", False, True), ("127.0.0.1", False, False), ("0.0.0.0", True, False)])
def test_wildcard_in_torrents_is_warned_of(registry, tmp_path, host, known, warned):
    """Nodes cannot reach 0.0.0.0: the default URLs of a wildcard address want to be set."""
    from support.process import Process, free_port
    sections = {}
    for role in ("tracker", "gateway"):
        sections[role] = {"listen": [f"{host}:{free_port()}"], **({"url": "http://gate.example"} if known else {})}
    gate = Gate(str(tmp_path), [registry_row(registry, str(tmp_path))], **sections)
    with Process([binary("swarmgated"), "--config", gate.config]) as running:
        running.wait_line("ready")
        warnings = [line for line in running.output().splitlines() if '"warn"' in line]
    assert len(warnings) == (2 if warned else 0), warnings
    checked = run([binary("swarmgated"), "--config", gate.config, "--check-config"]).stderr
    assert checked.count('"warn"') == len(warnings)
    for key in ("tracker.url", "gateway.url") if warned else ():
        assert any(f"set {key} in" in line for line in warnings)


@pytest.mark.parametrize("mode,warned", [(0o600, False), (0o640, True), (0o604, True)])
def test_a_password_that_others_may_read_is_warned_of(tmp_path, mode, warned):
    gate = Gate(str(tmp_path), [{"name": "r", "url": "http://127.0.0.1:9", "credentials": {"username": "u", "password_file": "gateway.pass"}}])
    (tmp_path / "gateway.pass").write_text("s3cr3t")
    os.chmod(tmp_path / "gateway.pass", mode)
    done = run([binary("swarmgated"), "--config", gate.config, "--check-config"])
    assert done.stderr.count('"warn"') == warned and "s3cr3t" not in done.stderr, done.stderr
    said = rf"yaml:\d+: registries\[0\]\.credentials\.password_file: .*chmod 600 {re.escape(str(tmp_path))}/gateway\.pass"
    assert bool(re.search(said, done.stderr)) == warned, done.stderr


def test_one_key_is_one(tracker):
    tracker.reload(": 1 key verifies, ")
