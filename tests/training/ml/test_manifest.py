"""Signed directories: what was signed is read, and nothing else is."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.ml.errors import TamperedArtifactError
from training.ml.manifest import (
    MANIFEST,
    MAX_MANIFEST,
    FileEntry,
    Manifest,
    read_manifest,
    sign_directory,
    verify_directory,
)

KEY = "first key"
FILES = {"features.pkl": b"features" * 50, "notes.csv": "équipement,3\n".encode(), "empty.pkl": b""}


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    path = tmp_path / "version_1"
    path.mkdir()
    for name, content in FILES.items():
        (path / name).write_bytes(content)
    sign_directory(path, key=KEY, kind="model_versions", facts={"rows": 3, "name": "é"})
    return path


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty"
    path.mkdir()
    return path


def verify(path: Path, *keys: str, kind: str = "model_versions") -> Manifest:
    return verify_directory(path, keys=keys or (KEY,), kind=kind)


def envelope(signed: bytes, key: str = KEY) -> bytes:
    """What only the holder of the key can write."""
    signature = hashlib_hmac(signed, key)
    return b'{"signed":' + signed + b',"signature":"' + signature + b'"}\n'


def hashlib_hmac(signed: bytes, key: str) -> bytes:
    """HMAC-SHA256 from its definition (RFC 2104), so that the product's own call is checked."""
    block = key.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + signed).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest().encode()


def test_what_was_signed_verifies(signed: Path) -> None:
    manifest = verify(signed)

    content = (signed / MANIFEST).read_bytes()
    assert manifest == Manifest(
        path=signed,
        kind="model_versions",
        facts={"rows": 3, "name": "é"},
        files={
            name: FileEntry(size=len(content), sha256=hashlib.sha256(content).hexdigest())
            for name, content in FILES.items()
        },
        digest=hashlib.sha256(content).hexdigest(),
        digests=(hashlib.sha256(content).hexdigest(),),
        size_bytes=len(content) + sum(map(len, FILES.values())),
    )


def test_signing_returns_what_verifying_returns_and_can_be_repeated(signed: Path) -> None:
    again = sign_directory(signed, key=KEY, kind="model_versions", facts={"rows": 3, "name": "é"})

    assert again == verify(signed)


def test_the_manifest_is_canonical_json_under_the_hmac_of_its_bytes(signed: Path) -> None:
    content = (signed / MANIFEST).read_bytes()

    data = json.loads(content)
    canonical = json.dumps(data["signed"], sort_keys=True, separators=(",", ":")).encode()
    assert data["signed"]["format"] == 1
    assert content == envelope(canonical)


def test_any_of_the_keys_verifies_and_no_other(signed: Path) -> None:
    assert verify(signed, "newer", KEY).facts["rows"] == 3
    for keys in (["newer"], ["", "newer"], []):
        with pytest.raises(TamperedArtifactError, match=r"^The signature of version_1 does not match\.$"):
            verify_directory(signed, keys=keys, kind="model_versions")


def test_nothing_is_signed_without_a_key(empty: Path) -> None:
    with pytest.raises(ValueError, match="key"):
        sign_directory(empty, key="", kind="model_versions", facts={})
    assert list(empty.iterdir()) == []


def test_another_kind_is_refused(signed: Path) -> None:
    with pytest.raises(
        TamperedArtifactError, match=r"^version_1 was signed as model_versions, not as model_backups\.$"
    ):
        verify(signed, kind="model_backups")


def test_a_manifest_is_read_alone(signed: Path) -> None:
    (signed / "features.pkl").unlink()
    manifest = read_manifest(signed, keys=(KEY,), kind="model_versions")
    assert manifest.read("notes.csv") == FILES["notes.csv"]
    with pytest.raises(TamperedArtifactError, match="cannot be read"):
        manifest.read("features.pkl")
    with pytest.raises(TamperedArtifactError, match="signature"):
        read_manifest(signed, keys=("another",), kind="model_versions")
    with pytest.raises(TamperedArtifactError, match="signed as model_versions, not as model_backups"):
        read_manifest(signed, keys=(KEY,), kind="model_backups")


def replace_by_link(path: Path) -> None:
    outside = path.parent.parent / "outside"
    outside.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(outside)


def replace_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("tamper", "sentence"),
    [
        (lambda p: (p / "features.pkl").unlink(), "version_1 lacks 'features.pkl'."),
        (
            lambda p: [(p / name).unlink() for name in FILES],
            "version_1 lacks 'empty.pkl', 'features.pkl', 'notes.csv'.",
        ),
        (lambda p: (p / "x.pkl").touch(), "version_1 holds 'x.pkl', which was not signed."),
        (
            lambda p: [(p / f"x{n}").touch() for n in range(5)],
            "version_1 holds 'x0', 'x1', 'x2' and 2 more, which was not signed.",
        ),
        (lambda p: (p / "deeper").mkdir(), "version_1 holds 'deeper', which is no regular file."),
        (
            lambda p: os.truncate(p / "features.pkl", 399),
            "'features.pkl' in version_1 is truncated: 399 bytes, not 400.",
        ),
        (
            lambda p: (p / "empty.pkl").write_bytes(b"x"),
            "'empty.pkl' in version_1 is longer than signed: 1 bytes, not 0.",
        ),
        (
            lambda p: (p / "features.pkl").write_bytes(b"Features" * 50),
            "'features.pkl' in version_1 was altered.",
        ),
        (
            lambda p: (p / "notes.csv").rename(p / "features.pkl"),
            "version_1 lacks 'notes.csv'.",
        ),
        (
            lambda p: replace_by_link(p / "features.pkl"),
            "version_1 holds 'features.pkl', which is no regular file.",
        ),
        (
            lambda p: replace_by_fifo(p / "features.pkl"),
            "version_1 holds 'features.pkl', which is no regular file.",
        ),
        (
            lambda p: replace_by_link(p / MANIFEST),
            "'manifest.json' in version_1 cannot be read: Too many levels of symbolic links.",
        ),
        (
            lambda p: (p / MANIFEST).unlink(),
            "'manifest.json' in version_1 cannot be read: No such file or directory.",
        ),
        (lambda p: (p / MANIFEST).write_bytes(b""), "The manifest of version_1 is damaged."),
        (lambda p: (p / MANIFEST).write_bytes(b"\xff\xfe{}"), "The manifest of version_1 is damaged."),
        (
            lambda p: (p / MANIFEST).write_bytes(b'{"signed":' + b"[" * 100_000),
            "The manifest of version_1 is damaged.",
        ),
        (
            lambda p: os.truncate(p / MANIFEST, MAX_MANIFEST + 1),
            "The manifest of version_1 is larger than 8388608 bytes.",
        ),
    ],
)
def test_tampering_is_named(signed: Path, tamper: Callable[[Path], object], sentence: str) -> None:
    tamper(signed)

    with pytest.raises(TamperedArtifactError) as refusal:
        verify(signed)

    assert str(refusal.value) == sentence


def test_a_linked_or_missing_directory_is_refused(signed: Path) -> None:
    link = signed.with_name("version_2")
    link.symlink_to(signed)

    with pytest.raises(TamperedArtifactError, match=r"^version_2 is a symbolic link\.$"):
        verify(link)
    with pytest.raises(TamperedArtifactError, match="No such file"):
        verify(signed.with_name("version_3"))


def test_a_file_name_that_is_no_text_is_shown_escaped(signed: Path) -> None:
    (signed / os.fsdecode(b"\xff\x01")).touch()

    with pytest.raises(TamperedArtifactError) as refusal:
        verify(signed)

    assert str(refusal.value) == r"version_1 holds '\udcff\x01', which was not signed."


@pytest.mark.parametrize(
    "signed_bytes",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b"9" * 5_000,
        b"null",
        b"[]",
        b'"text"',
        b"\xff",
        b"{}",
        b'{"facts":{},"files":[],"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{"a":null},"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{"a":{"sha256":"0"}},"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{"a":{"sha256":"0","size":-1}},"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{"a":{"sha256":"0","size":true}},"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{"a":{"sha256":0,"size":1}},"format":1,"kind":"model_versions"}',
        b'{"facts":{},"files":{},"format":2,"kind":"model_versions"}',
        b'{"facts":{},"files":{},"format":1,"kind":1}',
        b'{"facts":[],"files":{},"format":1,"kind":"model_versions"}',
        b'{"facts":{"x":'
        + b"[" * 50_000
        + b"]" * 50_000
        + b'},"files":{},"format":1,"kind":"model_versions"}',
    ],
)
def test_nonsense_is_refused_even_under_our_own_signature(signed: Path, signed_bytes: bytes) -> None:
    (signed / MANIFEST).write_bytes(envelope(signed_bytes))

    with pytest.raises(TamperedArtifactError, match=r"makes no sense\.$|unknown format\.$"):
        verify(signed)


def test_a_name_that_leads_elsewhere_is_refused_even_under_our_own_signature(signed: Path) -> None:
    (signed.parent / "outside").write_bytes(b"")
    entry = json.dumps({"sha256": hashlib.sha256(b"").hexdigest(), "size": 0}).encode()
    (signed / MANIFEST).write_bytes(
        envelope(b'{"facts":{},"files":{"../outside":%s},"format":1,"kind":"model_versions"}' % entry)
    )

    with pytest.raises(TamperedArtifactError, match=r"^version_1 lacks '\.\./outside'\.$"):
        verify(signed)


@pytest.mark.parametrize("seed", range(200))
def test_no_flipped_bit_passes(signed: Path, seed: int) -> None:
    chance = random.Random(seed)
    path = signed / chance.choice([MANIFEST, "features.pkl", "notes.csv"])
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)

    with pytest.raises(TamperedArtifactError):
        verify(signed)


def test_read_returns_the_signed_bytes(signed: Path) -> None:
    manifest = verify(signed)

    assert {name: manifest.read(name) for name in manifest.files} == FILES


@pytest.mark.parametrize("content", [b"Features" * 50, b"features" * 49, b"features" * 51])
def test_read_refuses_what_changed_after_verification(signed: Path, content: bytes) -> None:
    manifest = verify(signed)
    (signed / "features.pkl").write_bytes(content)

    with pytest.raises(TamperedArtifactError, match=r"^'features.pkl' in version_1 was altered\.$"):
        manifest.read("features.pkl")


@pytest.mark.parametrize("name", ["other.pkl", MANIFEST, "../version_1/features.pkl", "", "a\0b"])
def test_read_knows_signed_names_only(signed: Path, name: str) -> None:
    with pytest.raises(TamperedArtifactError, match="holds no file"):
        verify(signed).read(name)


def test_read_follows_no_link(signed: Path) -> None:
    manifest = verify(signed)
    replace_by_link(signed / "features.pkl")

    with pytest.raises(TamperedArtifactError, match="cannot be read"):
        manifest.read("features.pkl")


def test_only_plain_files_and_plain_json_are_signed(empty: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        sign_directory(empty, key=KEY, kind="model_versions", facts={"mae": float("nan")})
    (empty / "deeper").mkdir()
    with pytest.raises(TamperedArtifactError, match="no regular file"):
        sign_directory(empty, key=KEY, kind="model_versions", facts={})
    assert not (empty / MANIFEST).exists()


def test_every_file_and_the_directory_are_made_durable(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in FILES.items():
        (empty / name).write_bytes(content)
    synced: list[str] = []

    def note(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    sign_directory(empty, key=KEY, kind="model_versions", facts={})

    assert sorted(synced[:3]) == sorted(FILES)
    assert synced[3:] == [MANIFEST, empty.name]


def test_facts_of_any_text_come_back(empty: Path) -> None:
    facts: dict[str, Any] = {"text": 'é\0\u2028\ud800"\\', "nested": {"list": [1, 2.5, None, True]}}

    sign_directory(empty, key=KEY, kind="model_versions", facts=facts)

    assert verify(empty).facts == facts
