"""Keys and ciphers made at import, whose library has an OpenSSL, and so a random generator, of its own."""

from typing import Any

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SAME = ("decrypted", "verified", "deterministic")
FRESH = ("key", "ec_key", "signature", "token", "rsa")

FERNET = Fernet(Fernet.generate_key())
TOKEN = FERNET.encrypt(b"secret")
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SIGNED = EC.sign(b"text", ec.ECDSA(hashes.SHA256()))
CIPHER = AESGCM(bytes(32))


def handler(event: Any, context: Any) -> dict[str, Any]:
    EC.public_key().verify(SIGNED, b"text", ec.ECDSA(hashes.SHA256()))
    made = ec.generate_private_key(ec.SECP256R1())
    return {
        "decrypted": FERNET.decrypt(TOKEN).decode(),
        "verified": CIPHER.decrypt(bytes(12), CIPHER.encrypt(bytes(12), b"x", None), None).decode(),
        "deterministic": ED.sign(b"text").hex(),
        "key": AESGCM.generate_key(128).hex(),
        "ec_key": hex(made.private_numbers().private_value),
        "signature": EC.sign(b"text", ec.ECDSA(hashes.SHA256())).hex(),
        "token": FERNET.encrypt(b"x").decode(),
        "rsa": hex(rsa.generate_private_key(65537, 1024).private_numbers().p)
        + ED.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    }
