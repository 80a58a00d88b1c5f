from __future__ import annotations

import errno
import hashlib
import http.server
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slamfront.errors import WeightsError
from slamfront.models import weights
from slamfront.models.checkpoints import load_network
from slamfront.models.weights import REGISTRY, WeightsEntry, check, fetch, git_blob_id, resolve, verified

CONTENT = bytes(range(256)) * 4000
BLOB_ID = "f4e52af7c3bcfb694703d38c47dfde5b76cc6881"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in ways good and bad; as a proxy it passes requests on to the address that it is asked for."""

    def do_GET(self) -> None:
        if self.path.startswith("http://"):
            self.server.proxied.append(self.path)
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with direct.open(self.path) as response:
                self._answer(response.read())
        elif self.path == "/whole":
            self._answer(CONTENT)
        elif self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
        elif self.path == "/cut":
            self._answer(CONTENT[:300_000], length=len(CONTENT))
        elif self.path == "/other":
            self._answer(b"<html>sign in</html>")
        else:
            self.send_error(404)

    def _answer(self, content: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.proxied = []
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SLAMFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "PACKAGED_FOLDER", tmp_path / "packaged")


def address(server: http.server.ThreadingHTTPServer, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def entry(url: str = "http://127.0.0.1:9/whole") -> WeightsEntry:
    return WeightsEntry("toy", "superpoint", "SuperPoint", "MIT", "free", url, "toy.pth", BLOB_ID, SHA256)


def assert_nothing_left(folder: Path) -> None:
    assert not folder.exists() or list(folder.iterdir()) == []


def test_blob_id_is_the_one_git_gives(tmp_path: Path) -> None:
    (tmp_path / "hello").write_text("hello world\n")
    # as `git hash-object` prints it
    assert git_blob_id(tmp_path / "hello") == "3b18e512dba79e4c8300dd08aeb37f8e728b8dad"


def test_registry_holds_the_official_files_with_terms() -> None:
    magic_leap = {"superpoint_v1", "superglue_indoor", "superglue_outdoor"}
    dedode = {"dedode_detector_L_v2", "dedode_descriptor_B", "dedode_descriptor_G", "dinov2_vitl14"}
    assert set(REGISTRY) == magic_leap | dedode | {"superpoint_v6"}
    for name, known in REGISTRY.items():
        assert known.name == name and known.licence and known.terms
        assert len(known.blob_id or 40 * "0") == 40 and len(known.sha256 or 64 * "0") == 64
        assert known.url.startswith("https://") and known.url.endswith(known.file_name)


def test_without_consent_nothing_is_fetched_and_the_licence_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="toy is under the licence 'MIT'.*consent"):
        fetch(entry(), tmp_path, consent=False)
    assert_nothing_left(tmp_path / "cache")


@pytest.mark.parametrize("path", ["/whole", "/moved"])
def test_a_file_is_fetched_whole_and_progress_told(
    tmp_path: Path, server: http.server.ThreadingHTTPServer, path: str
) -> None:
    told: list[tuple[int, int | None]] = []
    fetched = fetch(
        entry(address(server, path)), tmp_path / "w", consent=True, progress=lambda *seen: told.append(seen)
    )
    assert fetched == tmp_path / "w" / "toy.pth"
    assert fetched.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT)) and told == sorted(told)
    assert [file.name for file in fetched.parent.iterdir()] == ["toy.pth"]


def test_a_proxy_of_the_environment_is_used(
    tmp_path: Path, server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        proxy.proxied = []
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}).start()
        monkeypatch.setenv("http_proxy", address(proxy, ""))
        url = address(server, "/whole")
        assert fetch(entry(url), tmp_path, consent=True).read_bytes() == CONTENT
        proxy.shutdown()
    assert proxy.proxied == [url]


def test_a_local_file_or_another_address_can_be_the_source(
    tmp_path: Path, server: http.server.ThreadingHTTPServer
) -> None:
    (tmp_path / "downloaded").write_bytes(CONTENT)
    assert fetch(entry(), tmp_path / "a", consent=True, source=tmp_path / "downloaded").read_bytes() == CONTENT
    assert fetch(entry(), tmp_path / "b", consent=True, source=address(server, "/whole")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/absent", "the server answers 404"),
        ("/cut", "cut short after 300000 of 1024000 bytes"),
        ("/other", "not the official toy.pth: its SHA-256 is"),
    ],
)
def test_a_bad_answer_is_told_and_leaves_nothing(
    tmp_path: Path, server: http.server.ThreadingHTTPServer, path: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        fetch(entry(address(server, path)), tmp_path / "w", consent=True)
    assert_nothing_left(tmp_path / "w")


def test_a_failed_fetch_keeps_the_file_that_was_there(tmp_path: Path, server: http.server.ThreadingHTTPServer) -> None:
    (tmp_path / "toy.pth").write_text("mine")
    with pytest.raises(WeightsError):
        fetch(entry(address(server, "/cut")), tmp_path, consent=True)
    assert (tmp_path / "toy.pth").read_text() == "mine"


@pytest.mark.parametrize("source", ["http://127.0.0.1:9/x", "absent.pth", "http://[broken", "http://"])
def test_a_source_that_cannot_be_opened_is_named(tmp_path: Path, source: str) -> None:
    with pytest.raises(WeightsError, match="cannot be opened") as caught:
        fetch(entry(), tmp_path / "w", consent=True, source=source)
    assert str(caught.value).startswith(source)
    assert_nothing_left(tmp_path / "w")


def test_a_right_file_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "toy.pth").write_bytes(CONTENT)
    assert fetch(entry("http://127.0.0.1:9/nowhere"), tmp_path, consent=True) == tmp_path / "toy.pth"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "source").write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="file/sub: cannot be written"):
        fetch(entry(), tmp_path / "file" / "sub", consent=True, source=tmp_path / "source")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)

    def full(done: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(WeightsError, match="cannot be written .the disk is full."):
        fetch(entry(), tmp_path / "w", consent=True, source=tmp_path / "source", progress=full)
    assert_nothing_left(tmp_path / "w")


def test_an_interrupted_fetch_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)

    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry(), tmp_path / "w", consent=True, source=tmp_path / "source", progress=interrupt)
    assert_nothing_left(tmp_path / "w")


def test_check_tells_a_right_file_from_another(tmp_path: Path) -> None:
    path = tmp_path / "toy.pth"
    path.write_bytes(CONTENT)
    assert check(entry(), path) == path
    path.write_bytes(CONTENT + b"x")
    with pytest.raises(WeightsError, match="not the official toy.pth"):
        check(entry(), path)
    with pytest.raises(WeightsError, match="cannot be read"):
        check(entry(), tmp_path / "absent")


@pytest.mark.parametrize("field", ["blob_id", "sha256"])
def test_either_digest_tells_another_file(tmp_path: Path, field: str) -> None:
    path = tmp_path / "toy.pth"
    path.write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="not the official toy.pth: its"):
        check(replace(entry(), **{field: "0" * 40}), path)
    assert check(replace(entry(), sha256=None), path) == path


def test_a_fetched_file_that_was_changed_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REGISTRY, "toy", entry())
    path = weights.cached_path(entry())
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert verified("toy") == verified(path) == path
    path.write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match="not the official toy.pth"):
        verified("toy")
    with pytest.raises(WeightsError, match="not the official toy.pth"):
        load_network("toy")


def test_packaged_weights_that_were_changed_are_not_used() -> None:
    names = ("big-00001-of-00002.safetensors", "big-00002-of-00002.safetensors")
    weights.PACKAGED_FOLDER.mkdir()
    for name in names:
        (weights.PACKAGED_FOLDER / name).write_bytes(CONTENT)
    with pytest.raises(WeightsError, match="SHA256SUMS: cannot be read"):
        verified("big")
    (weights.PACKAGED_FOLDER / "SHA256SUMS").write_text("".join(f"{SHA256}  {name}\n" for name in names))
    assert verified("big").name == names[0]
    (weights.PACKAGED_FOLDER / names[1]).write_bytes(CONTENT[:-1] + b"x")
    with pytest.raises(WeightsError, match="big-00002-of-00002.safetensors: damaged or changed"):
        load_network("big")


def test_all_packaged_weights_are_what_they_were() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weights, "PACKAGED_FOLDER", Path(weights.__file__).parents[1] / "weights")
        assert len(weights.packaged_weights()) >= 5
        for name in weights.packaged_weights():
            verified(name)


def test_names_and_paths_resolve_to_files(tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"")
    assert resolve(own) == own
    cached = weights.cached_path(REGISTRY["superpoint_v1"])
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"")
    assert resolve("superpoint_v1") == cached == tmp_path / "cache" / "weights" / "superpoint_v1.pth"


def test_what_is_not_there_names_the_command_or_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="`slamfront weights fetch superglue_outdoor`"):
        resolve("superglue_outdoor")
    with pytest.raises(WeightsError, match="did you mean superglue_indoor"):
        resolve("superglue_indor")
    with pytest.raises(WeightsError, match="absent.pth: no such checkpoint file"):
        resolve(tmp_path / "absent.pth")
    with pytest.raises(WeightsError, match="known are superpoint_v1"):
        resolve("zzz")


def test_packaged_weights_are_listed_with_their_parts_and_resolve(tmp_path: Path) -> None:
    assert weights.packaged_weights() == {}
    folder = tmp_path / "packaged"
    folder.mkdir()
    for name in ("lite.safetensors", "big-00001-of-00002.safetensors", "big-00002-of-00002.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"")
    packaged = weights.packaged_weights()
    assert {name: len(parts) for name, parts in packaged.items()} == {"big": 2, "lite": 1}
    assert resolve("lite") == folder / "lite.safetensors"
    assert weights.shards_of(resolve("big")) == packaged["big"]


def test_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert weights.cache_dir() == tmp_path / "cache"
    monkeypatch.delenv("SLAMFRONT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert weights.cache_dir() == tmp_path / "xdg" / "slamfront"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for platform, expected in (("linux", ".cache/slamfront"), ("darwin", "Library/Caches/slamfront")):
        monkeypatch.setattr(sys, "platform", platform)
        assert weights.cache_dir() == tmp_path / expected


def test_the_registry_loads_no_torch() -> None:
    code = "import sys, slamfront.models.weights; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
