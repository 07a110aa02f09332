"""Names of checkpoints and adapters: folders, the cache of the hub, and a hub that cannot be reached."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import constants
from huggingface_hub import errors as hub

from judge.backends import hub as locations
from judge.backends.hub import ADAPTER_FILE, locate, locate_adapter
from judge.backends.transformers.backend import Transformers
from judge.errors import BackendError, InputError, ModelNotFoundError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """An empty cache of the hub; the function puts a repository with one file into it."""
    root = tmp_path / "hub"
    root.mkdir()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))

    def add(name: str, file: str = "config.json") -> Path:
        folder = root / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(COMMIT)
        snapshot = folder / "snapshots" / COMMIT
        snapshot.mkdir(parents=True)
        (snapshot / file).write_text("{}")
        return snapshot

    return add


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub is a port of this machine at which nothing listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    template = "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def refuse(monkeypatch: pytest.MonkeyPatch, error: type[hub.HfHubHTTPError], status: int) -> None:
    """Let the hub answer every question with an error."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)

    def answer(*_: Any, **__: Any) -> None:
        request = httpx.Request("HEAD", "http://127.0.0.1:9")
        raise error("refused", response=httpx.Response(status, request=request))  # type: ignore[arg-type]

    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", answer)


# -- Folders ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/no/such/folder", "./model", "../model", "~/model", "a/b/c", "C:\\models\\a"]
)
def test_a_path_to_nothing_is_said_to_be_no_folder(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no such folder") as caught:
        locate(name)
    assert isinstance(caught.value, InputError) and isinstance(caught.value, BackendError)
    assert (caught.value.field, caught.value.value) == ("model", name)
    assert "\n" not in str(caught.value)


def test_a_misspelt_folder_names_the_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(ModelNotFoundError, match=r"did you mean '.*/adapter'"):
        locate_adapter(tmp_path / "adaptor")


@pytest.mark.parametrize(("there", "wanted"), [("config.json", locate_adapter), (ADAPTER_FILE, locate)])
def test_a_checkpoint_is_no_adapter_and_an_adapter_no_checkpoint(
    tmp_path: Path, there: str, wanted: Callable[[Path], Any]
) -> None:
    (tmp_path / there).write_text("{}")
    with pytest.raises(ModelNotFoundError, match="pass it as"):
        wanted(tmp_path)
    (tmp_path / there).unlink()
    with pytest.raises(ModelNotFoundError, match="check the path"):
        wanted(tmp_path)


# -- Without a network -----------------------------------------------------------------------------------


def test_a_cached_checkpoint_is_found_without_a_network(
    cache: Callable[..., Path], unreachable: None
) -> None:
    snapshot = cache("Qwen/Qwen3-VL-4B-Instruct")
    location = locate("Qwen/Qwen3-VL-4B-Instruct")
    assert (Path(location.source), location.commit) == (snapshot, COMMIT)
    assert Path(locate("Qwen/Qwen3-VL-4B-Instruct", COMMIT).source) == snapshot
    with pytest.raises(ModelNotFoundError, match="at v2"):
        locate("Qwen/Qwen3-VL-4B-Instruct", "v2")


@pytest.mark.parametrize(
    "name", ["Qwen/Qwen3-VL-4B-Instuct", "qwen/qwen3-vl-4b-instruct", "Qwen3-VL-4B-Instruct"]
)
def test_a_typo_names_what_is_in_the_cache(cache: Callable[..., Path], name: str) -> None:
    cache("Qwen/Qwen3-VL-4B-Instruct")
    cache("judges/lora", ADAPTER_FILE)
    with pytest.raises(ModelNotFoundError, match="did you mean 'Qwen/Qwen3-VL-4B-Instruct'") as caught:
        locate(name)
    assert "HF_HUB_OFFLINE" in str(caught.value) and "judges/lora" not in str(caught.value)


def test_a_misspelt_model_of_the_package_is_named(cache: Callable[..., Path]) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'embedded'"):
        locate("embeded")


def test_a_model_that_cannot_be_had_is_one_error_within_seconds(
    cache: Callable[..., Path], unreachable: None
) -> None:
    cache("someone/else")
    for load in (locate, Transformers):
        start = time.monotonic()
        with pytest.raises(ModelNotFoundError, match="cannot be reached") as caught:
            load("Qwen/Qwen3-VL-8B-Instruct")
        assert time.monotonic() - start < 10
        assert "someone/else" in str(caught.value) and "hf download" in str(caught.value)


def test_an_adapter_that_cannot_be_had_is_named(cache: Callable[..., Path]) -> None:
    with pytest.raises(ModelNotFoundError, match="adapter: 'someone/lora'"):
        locate_adapter("someone/lora")


# -- What the hub says -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (hub.GatedRepoError, 403, "hf auth login"),
        (hub.RepositoryNotFoundError, 404, "there is none, or it is private"),
        (hub.RevisionNotFoundError, 404, "revision: 'v9'"),
        (hub.RemoteEntryNotFoundError, 404, "it has no config.json"),
        (hub.HfHubHTTPError, 503, "cannot be reached"),
    ],
)
def test_what_the_hub_refuses_is_one_error_with_the_mend(
    monkeypatch: pytest.MonkeyPatch,
    cache: Callable[..., Path],
    error: type[hub.HfHubHTTPError],
    status: int,
    message: str,
) -> None:
    refuse(monkeypatch, error, status)
    with pytest.raises(ModelNotFoundError, match=message) as caught:
        locate("meta/gated", "v9")
    assert "\n" not in str(caught.value)


def test_a_name_that_the_hub_has_is_left_to_the_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    asked: list[Any] = []
    monkeypatch.setattr("huggingface_hub.get_hf_file_metadata", lambda url, **options: asked.append(options))
    assert locate("owner/name").source == "owner/name"
    assert [options["timeout"] for options in asked] == [locations.PROBE_SECONDS]
