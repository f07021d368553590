"""A fleet's own certificate authority, and a certificate for each shard. Pure: bytes and times in, bytes out.

An authority lives a year, a shard's certificate a month; each is followed by a new one when a third of its life is
left. A new authority is only trusted at first, and issues an hour later, when every shard's mounted files name it: at
no moment do two shards meet of which one does not know the other's authority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = timedelta(days=365)
SHARD_LIFE = timedelta(days=30)
TRUST_FIRST = timedelta(hours=1)
"""A kubelet brings a changed Secret into a pod within two minutes."""
BACKDATED = timedelta(minutes=5)
"""Certificates begin a little in the past: the clocks of nodes differ."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    @property
    def parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate)

    @property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        key = serialization.load_pem_private_key(self.key, None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ValueError("the key is of another kind than the operator makes")
        return key


def bundle(authorities: Sequence[Pair]) -> bytes:
    """What shards trust: all of them, oldest first."""
    return b"".join(authority.certificate for authority in authorities)


def next_authorities(known: Sequence[Pair], *, fleet: str, now_us: int) -> list[Pair]:
    """``known``, oldest first, without those that have ended, and with a new one where one is due."""
    now = _moment(now_us)
    living = [authority for authority in known if authority.parsed.not_valid_after_utc > now]
    if not living or _is_due(living[-1].parsed, now):
        living.append(_new_authority(fleet, now))
    return living


def issuer_of(authorities: Sequence[Pair], *, now_us: int) -> Pair:
    """The authority that issues now: the newest that has been trusted long enough, or the only one."""
    now = _moment(now_us)
    trusted = [one for one in authorities if now - one.parsed.not_valid_before_utc - BACKDATED >= TRUST_FIRST]
    return (trusted or list(authorities[:1]))[-1]


def next_certificate(known: Pair | None, issuer: Pair, *, shard: str, now_us: int) -> Pair:
    """``known`` as long as it is good: of this issuer, for this shard, with more than a third of its life left."""
    now = _moment(now_us)
    if known is not None and _is_good(known, issuer, shard, now):
        return known
    key = ec.generate_private_key(ec.SECP256R1())
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    # No longer than its issuer, or it would be worth nothing at its end.
    ends = min(now + SHARD_LIFE, issuer.parsed.not_valid_after_utc)
    certificate = (
        _builder(_name(shard), issuer.parsed.subject, now, ends)
        .public_key(key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(shard)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(_public(issuer)), critical=False)
        .sign(issuer.private_key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def read_pairs(certificates: bytes, keys: bytes) -> list[Pair]:
    """Authorities as they were stored, certificate by certificate and key by key.

    Raises:
        ValueError: what is stored is not what this module made.
    """
    found = [one.public_bytes(serialization.Encoding.PEM) for one in x509.load_pem_x509_certificates(certificates)]
    end = b"-----END PRIVATE KEY-----\n"
    each = [part + end for part in keys.split(end) if part.strip()]
    if len(found) != len(each):
        raise ValueError(f"{len(found)} certificates and {len(each)} keys")
    pairs = [Pair(certificate, key) for certificate, key in zip(found, each, strict=True)]
    for pair in pairs:
        if pair.private_key.public_key() != pair.parsed.public_key():
            raise ValueError("a key is not its certificate's")
    return pairs


def _new_authority(fleet: str, now: datetime) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{now:%Y-%m-%d} {fleet}")
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, now, now + AUTHORITY_LIFE)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def _public(pair: Pair) -> ec.EllipticCurvePublicKey:
    return pair.private_key.public_key()


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _builder(subject: x509.Name, issuer: x509.Name, now: datetime, ends: datetime) -> x509.CertificateBuilder:
    return x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        serial_number=x509.random_serial_number(),
        not_valid_before=now - BACKDATED,
        not_valid_after=ends,
    )


def _is_good(known: Pair, issuer: Pair, shard: str, now: datetime) -> bool:
    try:
        certificate = known.parsed
        certificate.verify_directly_issued_by(issuer.parsed)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_its_key = known.private_key.public_key() == certificate.public_key()
        is_due = _is_due(certificate, now) and certificate.not_valid_after_utc < issuer.parsed.not_valid_after_utc
        is_over = certificate.not_valid_after_utc <= now
        return names.get_values_for_type(x509.DNSName) == [shard] and is_its_key and not is_due and not is_over
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _is_due(certificate: x509.Certificate, now: datetime) -> bool:
    life = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < life / 3


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _moment(unix_us: int) -> datetime:
    return datetime.fromtimestamp(unix_us / 1_000_000, UTC)
