"""An identity provider: it signs bearer tokens, and publishes the key by which brokers check them."""

import time
from pathlib import Path
from typing import Any, Final, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

KEY_ID: Final = "key-1"


class Issuer:
    """Signs with RS256. Two issuers have the same key id and another key, so what one signs is forged for the other."""

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._private_key = private_key

    @classmethod
    def new(cls) -> Self:
        """One with a key of its own."""
        return cls(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))

    def publish(self, file: Path) -> None:
        """Write the public key as a JSON Web Key Set."""
        key = RSAAlgorithm.to_jwk(self._private_key.public_key())
        file.write_text(f'{{"keys": [{key[:-1]}, "kid": "{KEY_ID}", "alg": "RS256", "use": "sig"}}]}}')

    def token(self, subject: str, *, lifetime_seconds: int = 600, **claims: Any) -> str:
        """A token that was signed just now; with a negative lifetime it has ended already."""
        now = int(time.time())
        issued_at = min(now, now + lifetime_seconds - 1)
        return jwt.encode(
            {"sub": subject, "iat": issued_at, "exp": now + lifetime_seconds, **claims},
            self._private_key,
            algorithm="RS256",
            headers={"kid": KEY_ID},
        )
