"""Our token service, made as the independent one of token_service.py is: a realm as good as any other."""

import os

from cryptography.hazmat.primitives import serialization

from .certificates import self_signed
from .gate import Gate
from .process import binary, free_port, run
from .token_service import Realm


class OurService:
    """
    swarmgated with a token service and nothing behind its gateway. The arguments are those of TokenService; so is
    `realm`. Grants that are there stay what they are; `gate` is what runs.
    """

    name = "ours"

    def __init__(self, folder, users, grants, anonymous=(), host="127.0.0.1", issuer="auth.ours.example",
                 service="registry.example", algorithm="ES256"):
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, "registry.pem")
        run([binary("swarmgate"), "key", "generate", "--use", "registry", "--alg", algorithm, "--out", path])
        with open(path, "rb") as f:
            key = serialization.load_pem_private_key(f.read(), None)
        certificate = self_signed(os.path.join(folder, "bundle.pem"), key)
        address, prefix, port = (host, (), free_port()) if isinstance(host, str) else (host.address, host.prefix, 8081)
        self.gate = Gate(folder, [{"name": service, "url": "http://127.0.0.1:9"}], address, prefix, tracker=None,
                         gateway={"listen": [f"{address}:{port}"]},
                         token_service={"issuer": issuer, "service": service, "signing_key": "registry.pem",
                                        "anonymous_pull": list(anonymous)})
        self.gate.gateway = f"{address}:{port}"
        self.realm = Realm(f"{self.gate.gateway_url}/token", issuer, service, certificate, key, algorithm)
        for user, password in users.items():
            self.user("add", user, input=password)
        for user, patterns in grants.items():
            for pattern, actions in patterns.items():
                self.user("grant", user, pattern, actions)

    def user(self, *argv, **more):
        """swarmgate user …"""
        return self.gate.tool("user", *argv, "--config", self.gate.config, **more)

    def __enter__(self):
        self.gate.start()
        return self

    def __exit__(self, *ignored):
        self.gate.stop()
