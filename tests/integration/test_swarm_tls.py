"""Swarm TLS: torrents under a CA, certificates for their peers, and what peers without a right one get."""

import base64
import hashlib
import json
import os
import shutil
import types

import libtorrent as lt
import pytest
import yaml
from conftest import registry_row
from cryptography.hazmat.primitives import hashes
from support.announce import bdecode, get
from support.certificates import DAY, Authority
from support.gate import Gate
from support.process import binary, run
from support.swarm_tls import HELLO, WRONG, Peer, Trap, make_dh, steal, steal_plainly, wrong_certificate
from test_gateway import bytes_of, create


def said(ca):
    """What the log says of that CA."""
    return f"swarm TLS is on: the CA of gateway.swarm_tls holds until {ca.x509.not_valid_after:%Y-%m-%dT%H:%M:%SZ}"


def swarm_tls(ca, **more):
    return {"ca_certificate": ca.cert, "ca_key": ca.write_key(), **more}


@pytest.fixture
def ca(tmp_path):
    return Authority(str(tmp_path / "ca"), "swarm")


@pytest.fixture
def gate(registry, tmp_path, ca):
    with Gate(str(tmp_path / "gate"), [registry_row_in(registry, tmp_path / "gate")], gateway={"swarm_tls": swarm_tls(ca)}) as running:
        yield running


def registry_row_in(registry, folder):
    os.makedirs(folder, exist_ok=True)
    return registry_row(registry, str(folder))


@pytest.fixture
def layer(gate, registry):
    return max(create(gate, registry)["blobs"], key=lambda blob: blob["size"])


def name_of(blob):
    return blob["digest"].replace(":", "-")


def text_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def fetch(gate, registry, blob):
    """The torrent that alice gets, as bytes."""
    status, _, body = get(gate.gateway, f"/v1/team/app/blobs/{blob['digest']}", registry.basic("alice"))
    assert status == 200, body
    return body


def infohash_of(torrent):
    return lt.torrent_info(lt.bdecode(torrent)).info_hashes().v1.to_bytes().hex()


def make_request(folder, name="node", algorithm=("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")):
    """A node's key and its request for a certificate, which asks for far too much."""
    key, csr = str(folder / f"{name}.key"), str(folder / f"{name}.csr")
    run(["openssl", "genpkey", *algorithm, "-out", key])
    run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=*", "-addext", "subjectAltName=DNS:*", "-addext",
         "basicConstraints=critical,CA:TRUE", "-out", csr])
    return key, csr


def ask(gate, registry, csr, digests, headers=None, **more):
    body = json.dumps({"csr": text_of(csr), "digests": digests, **more})
    return get(gate.gateway, "/v1/team/app/certificates", headers or registry.basic("alice"), method="POST", body=body)


def certify(gate, registry, folder, digests, name="node", **more):
    """A node's certificate as the gateway signs it: `cert` and `key` are paths."""
    key, csr = make_request(folder, name)
    status, _, body = ask(gate, registry, csr, digests, **more)
    assert status == 200, body
    cert = str(folder / f"{name}.crt")
    with open(cert, "w", encoding="utf-8") as f:
        f.write(json.loads(body)["certificate"])
    return types.SimpleNamespace(cert=cert, key=key)


# --- what is signed ---

@pytest.mark.parametrize("algorithm", [
    ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"), ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
    ("-algorithm", "ED25519"), ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")])
def test_openssl_takes_the_certificate(gate, registry, layer, ca, tmp_path, algorithm):
    key, csr = make_request(tmp_path, algorithm=algorithm)
    status, headers, body = ask(gate, registry, csr, [layer["digest"]])
    assert status == 200 and headers["Content-Type"] == "application/json" and headers["Cache-Control"] == "no-store"
    answer = json.loads(body)
    assert set(answer) == {"certificate", "ca", "expires_in"} and answer["expires_in"] == 900 and answer["ca"] == text_of(ca.cert)
    cert = tmp_path / "node.crt"
    cert.write_text(answer["certificate"])
    for purpose in ("sslclient", "sslserver"):
        run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", ca.cert, cert])
    text = run(["openssl", "x509", "-in", cert, "-noout", "-text"]).stdout
    lines = [line.strip() for line in text.splitlines()]
    assert lines[lines.index("X509v3 Subject Alternative Name: critical") + 1] == "DNS:" + name_of(layer)
    assert "Subject:" in lines, text  # with nothing in it
    assert "TLS Web Client Authentication, TLS Web Server Authentication" in lines and "CA:FALSE" in lines
    public = run(["openssl", "pkey", "-in", key, "-pubout"]).stdout
    assert run(["openssl", "x509", "-in", cert, "-noout", "-pubkey"]).stdout == public
    run(["openssl", "x509", "-in", cert, "-noout", "-checkend", "840"])
    assert run(["openssl", "x509", "-in", cert, "-noout", "-checkend", "901"], check=False).returncode == 1


def test_certificate_is_in_the_audit_log(gate, registry, layer, tmp_path):
    certificate = certify(gate, registry, tmp_path, [layer["digest"]])
    serial = run(["openssl", "x509", "-in", certificate.cert, "-noout", "-serial"]).stdout.strip().split("=")[1]
    events = [json.loads(line) for line in gate.tool("audit", "--config", gate.config, "--json").stdout.splitlines()]
    event = next(e for e in events if e.get("kind") == "certificate")
    assert event["jti"] == serial.lower() and event["names"] == [name_of(layer)] and event["sub"] == "registry.example/alice"


def test_who_gets_no_certificate(gate, registry, layer, tmp_path):
    _, csr = make_request(tmp_path)
    status, headers, _ = ask(gate, registry, csr, [layer["digest"]], headers={"X": "y"})
    assert status == 401 and "Basic" in headers["WWW-Authenticate"]
    status, _, body = ask(gate, registry, csr, ["sha256:" + "0" * 64])
    assert status == 404 and json.loads(body)["errors"][0]["code"] == "BLOB_UNKNOWN"
    gate.tool("revoke", "--sub", "registry.example/alice", "--config", gate.config)
    status, _, body = ask(gate, registry, csr, [layer["digest"]])
    assert status == 404 and json.loads(body)["errors"][0]["code"] == "BLOB_UNKNOWN"


def test_a_request_for_another_key(gate, registry, layer, tmp_path):
    _, csr = make_request(tmp_path)
    der = bytearray(base64.b64decode("".join(text_of(csr).splitlines()[1:-1])))
    der[-1] ^= 1  # of the signature
    with open(csr, "w", encoding="utf-8") as f:
        f.write("-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(bytes(der)).decode() + "-----END CERTIFICATE REQUEST-----\n")
    status, _, body = ask(gate, registry, csr, [layer["digest"]])
    assert status == 400 and "not signed by the key" in body.decode()


# --- the CA ---

def test_torrents_are_under_the_ca(gate, registry, layer, ca):
    torrent = fetch(gate, registry, layer)
    info = bdecode(torrent)[b"info"]
    assert info[b"ssl-cert"].decode() == text_of(ca.cert)
    assert infohash_of(torrent) == layer["infohash"]  # as the tool makes it by the same configuration
    assert lt.torrent_info(lt.bdecode(torrent)).ssl_cert() == text_of(ca.cert)


@pytest.mark.parametrize("format_", ["v1", "v2", "hybrid"])
def test_a_ca_comes_later_and_is_replaced(registry, tmp_path, ca, format_):
    """One blob, hashed once: under no CA, under one, under its successor, whose file has the older one behind it."""
    folder = tmp_path / "gate"
    files = {"ca_certificate": str(tmp_path / "swarm.crt"), "ca_key": str(tmp_path / "swarm.key")}
    gate = Gate(str(folder), [registry_row_in(registry, folder)], gateway={"torrents": {"format": format_}})
    with gate:
        layer = max(create(gate, registry)["blobs"], key=lambda blob: blob["size"])
        plain = bdecode(fetch(gate, registry, layer))
        _, csr = make_request(tmp_path)
        status, _, body = ask(gate, registry, csr, [layer["digest"]])
        assert status == 404 and json.loads(body)["errors"][0]["code"] == "UNSUPPORTED"
    assert b"ssl-cert" not in plain[b"info"]
    shutil.copy(ca.cert, files["ca_certificate"])
    shutil.copy(ca.write_key(), files["ca_key"])
    gate = Gate(str(folder), gate_rows(gate), gateway={"torrents": {"format": format_}, "swarm_tls": files})
    with gate:
        first = bdecode(fetch(gate, registry, layer))
        assert first[b"info"] == {**plain[b"info"], b"ssl-cert": text_of(ca.cert).encode()}
        certify(gate, registry, tmp_path, [layer["digest"]], "first")
        run(["openssl", "verify", "-CAfile", ca.cert, tmp_path / "first.crt"])
        gate.process.wait_line(said(ca))

        new = Authority(str(tmp_path / "ca"), "successor")
        replace(files["ca_certificate"], text_of(new.cert) + text_of(ca.cert))
        replace(files["ca_key"], text_of(ca.write_key()))  # the wrong one: nothing is taken up
        gate.reload("reloading changed nothing")
        assert bdecode(fetch(gate, registry, layer))[b"info"] == first[b"info"]
        replace(files["ca_key"], text_of(new.write_key()) + text_of(ca.write_key()))
        gate.reload(said(new))
        second = bdecode(fetch(gate, registry, layer))
        assert second[b"info"] == {**plain[b"info"], b"ssl-cert": text_of(new.cert).encode()}
        certify(gate, registry, tmp_path, [layer["digest"]], "second")
        run(["openssl", "verify", "-CAfile", new.cert, tmp_path / "second.crt"])
        certify(gate, registry, tmp_path, [layer["digest"]], "older", ca=first[b"info"][b"ssl-cert"].decode())
        run(["openssl", "verify", "-CAfile", ca.cert, tmp_path / "older.crt"])
        listed = json.loads(gate.tool("torrent", "list", "--config", gate.config, "--json").stdout)
        cas = [torrent.get("ca") for torrent in listed if torrent["digest"] == layer["digest"]]
        assert len(cas) == 3 and all(known in cas for known in (None, told(ca), told(new)))
        lines = gate.tool("torrent", "list", "--config", gate.config).stdout.splitlines()
        assert all(lines.count(f"  CA {told(one)['sha256']}, {told(one)['subject']}") == 1 for one in (ca, new))


def told(ca):
    """How `torrent list` tells a CA."""
    return {"sha256": ca.x509.fingerprint(hashes.SHA256()).hex(), "subject": ca.x509.subject.rfc4514_string()}


def gate_rows(gate):
    with open(gate.config, encoding="utf-8") as f:
        return yaml.safe_load(f)["registries"]


def replace(path, text):
    with open(path + ".new", "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        f.write(text)
    os.replace(path + ".new", path)


def test_check_config(registry, tmp_path, ca):
    def check(says, **settings):
        own = Gate(str(tmp_path / "own"), [registry_row_in(registry, tmp_path / "own")], gateway={"swarm_tls": settings})
        done = run([binary("swarmgated"), "--check-config", "--config", own.config], check=False)
        assert done.returncode == (0 if says is None else 2), done.stderr
        assert says is None or says in done.stderr and "gateway.swarm_tls" in done.stderr, done.stderr

    other = Authority(str(tmp_path / "other"), "other")
    leaf, old = ca.issue("leaf"), Authority(str(tmp_path / "old"), "old", ends=-DAY)
    check(None, **swarm_tls(ca))
    check("is not that of the key", ca_certificate=ca.cert, ca_key=other.write_key())
    check("is no CA's", ca_certificate=leaf.cert, ca_key=leaf.key)
    check("signed by another CA", **swarm_tls(Authority(str(tmp_path / "below"), "below", parent=ca)))
    check("has run out", **swarm_tls(old))
    settings = swarm_tls(ca)
    os.chmod(settings["ca_key"], 0o644)
    check("chmod 600", **settings)


# --- the swarm ---

@pytest.fixture
def swarm(gate, registry, layer, ca, tmp_path):
    """A seed with a right certificate, and what it takes to be another peer."""
    torrent = fetch(gate, registry, layer)
    parts = lt.bdecode(torrent)
    del parts[b"url-list"]  # what comes, comes from peers
    data = bytes_of(registry, layer)
    seed = tmp_path / "seed"
    seed.mkdir()
    (seed / name_of(layer)).write_bytes(data)
    made = types.SimpleNamespace(ca=ca, name=name_of(layer), data=data, folder=tmp_path, infohash=infohash_of(torrent), dh=make_dh(str(tmp_path)))
    made.info = lambda: lt.torrent_info(parts)
    made.good = certify(gate, registry, tmp_path, [layer["digest"]], "good")
    made.seed = Peer(str(seed), made.info(), made.good, made.dh, plain=True)
    made.seed.await_seeding()
    made.seed.await_(lambda: made.seed.replies, "the seed's announce")
    return made


def test_two_honest_peers(gate, registry, layer, swarm):
    """They find each other by the tracker, which is told the port for TLS."""
    own = certify(gate, registry, swarm.folder, [layer["digest"]], "second")
    peer = Peer(str(swarm.folder / "second"), swarm.info(), own, swarm.dh)
    peer.await_seeding()
    with open(os.path.join(peer.folder, swarm.name), "rb") as f:
        assert hashlib.sha256(f.read()).hexdigest() == layer["digest"].split(":")[1]


def test_a_right_certificate_gets_an_answer(swarm):
    """By which the thieves' tools are known to work."""
    assert steal(swarm.seed.ports["ssl"], swarm.infohash, swarm.good).startswith(HELLO)
    trap = Trap(swarm.good)
    swarm.seed.dial(trap.port)
    assert trap.caught().startswith(HELLO)
    trap.close()


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_certificate_gets_no_byte(swarm, kind):
    assert steal(swarm.seed.ports["ssl"], swarm.infohash, wrong_certificate(kind, swarm.ca, swarm.name, str(swarm.folder))) == b""


@pytest.mark.parametrize("kind", WRONG[1:])
def test_who_is_dialled_with_a_wrong_certificate_gets_no_byte(swarm, kind):
    trap = Trap(wrong_certificate(kind, swarm.ca, swarm.name, str(swarm.folder)))
    swarm.seed.dial(trap.port)
    assert trap.caught() == b""
    trap.close()


def test_without_tls_there_is_no_byte(swarm):
    assert steal_plainly(swarm.seed.ports["tcp"], swarm.infohash) == b""
    assert HELLO not in steal_plainly(swarm.seed.ports["ssl"], swarm.infohash)  # a TLS alert may come
