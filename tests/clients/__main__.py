"""Slow tier: real clients, each doing a text turn and, where it is an agent, a tool turn through the running gateway.

    make clients                  installs the clients beside the project (about a gigabyte) and runs them all
    make clients ONLY=codex,llm   only these

They are pinned by major versions known to work offline; nothing but loopback is reached once they are installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec

from handlers.local.access import Access
from handlers.local.home import Home
from handlers.local.system import LocalSystem, Options
from tests.clients.agent_upstream import SAW, SAYS, message
from tests.replay.apt_upstream import apt_upstream

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / ".therouter" / "clients"
MODEL = "vllm/apt"
TURN_TIMEOUT_S = 120
TEXT = "say hello"
TOOL = "reach-by-shell"
NODE = (
    "@anthropic-ai/claude-code@2.1.197", "@openai/codex@0.169", "opencode-ai@1", "@qwen-code/qwen-code@0.15",
    "@google/gemini-cli@0", "openai@6", "@anthropic-ai/sdk@1", "@google/genai@2", "ai@6", "@ai-sdk/openai-compatible@2",
    "@ai-sdk/openai@3", "@ai-sdk/anthropic@3",
)  # fmt: skip
PYTHON = (
    "openai", "anthropic", "google-genai", "langchain-openai", "langchain-anthropic", "pydantic-ai-slim[openai]",
    "instructor", "openai-agents", "litellm", "smolagents[openai]", "llm",
)  # fmt: skip
AIDER = "aider-chat"
"""In an environment of its own: it pins its dependencies."""
LIBRARIES = (
    "openai", "anthropic", "google", "google_interactions", "langchain_openai", "langchain_anthropic", "pydantic_ai", "instructor",
    "openai_agents", "litellm", "smolagents",
)  # fmt: skip
SCRIPTS = ("openai", "anthropic", "google", "vercel", "vercelAnthropic", "vercelResponses")


class Place(NamedTuple):
    """Where a turn happens."""

    url: str
    key: str
    home: Path


class Turn(NamedTuple):
    """One command, and what it must print."""

    client: str
    kind: str
    command: list[str]
    environment: dict[str, str]
    expected: tuple[str, ...]


def turns(place: Place) -> Iterator[Turn]:
    """Everything there is to run."""
    yield from _agents(place)
    for name in SCRIPTS:
        command = ["node", "node_clients.mjs", name, place.url, place.key, MODEL]
        yield Turn(f"node {name}", "text", command, {}, (SAYS,))
    python = str(CACHE / "python" / "bin" / "python")
    for name in LIBRARIES:
        command = [python, str(HERE / "python_clients.py"), name, place.url, place.key, MODEL]
        yield Turn(f"python {name}", "text", command, {}, (SAYS, SAW))
    keyed = {"LLM_USER_PATH": str(place.home / "llm")}
    command = [str(CACHE / "python" / "bin" / "llm"), "-m", "tr", TEXT]
    yield Turn("llm", "text", command, keyed, (SAYS,))
    compatible = {
        "OPENAI_API_BASE": f"{place.url}/v1",
        "OPENAI_API_KEY": place.key,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    quiet = [
        "--no-git",
        "--yes-always",
        "--no-check-update",
        "--no-show-model-warnings",
        "--analytics-disable",
        "--no-pretty",
    ]
    command = [str(CACHE / "aider" / "bin" / "aider"), "--model", f"openai/{MODEL}", *quiet, "--message", TEXT]
    yield Turn("aider", "text", command, compatible, (SAYS,))


def _agents(place: Place) -> Iterator[Turn]:
    url, key = place.url, place.key
    claude = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_MODEL": MODEL,
        "ANTHROPIC_SMALL_FAST_MODEL": MODEL,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    codex = ["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    qwen = {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": key, "OPENAI_MODEL": MODEL}
    gemini = {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": key}
    for kind, task, expected in (("text", TEXT, (SAYS, SAW)), ("tool", TOOL, (SAW,))):
        yield Turn("claude-code", kind, ["claude", "-p", task, "--allowedTools", "Bash"], claude, expected)
        yield Turn("codex", kind, [*codex, task], {"TR_KEY": key}, expected)
        yield Turn("opencode", kind, ["opencode", "run", "-m", f"tr/{MODEL}", task], {}, expected)
        yield Turn("qwen-code", kind, ["qwen", "--auth-type", "openai", "--yolo", "-p", task], qwen, expected)
        yield Turn("gemini-cli", kind, ["gemini", "--skip-trust", "--yolo", "-m", MODEL, "-p", task], gemini, expected)


def configure(place: Place) -> None:
    """The files in which some clients want their provider."""
    codex = place.home / ".codex"
    codex.mkdir(parents=True)
    (codex / "config.toml").write_text(
        f'model = "{MODEL}"\nmodel_provider = "tr"\n[model_providers.tr]\nname = "tr"\n'
        f'base_url = "{place.url}/v1"\nenv_key = "TR_KEY"\nwire_api = "responses"\n'
    )
    gemini = place.home / ".gemini"
    gemini.mkdir()
    (gemini / "settings.json").write_text('{"security":{"auth":{"selectedType":"gemini-api-key"}}}')
    llm = place.home / "llm"
    llm.mkdir()
    (llm / "extra-openai-models.yaml").write_text(
        f"- model_id: tr\n  model_name: {MODEL}\n  api_base: {place.url}/v1\n  api_key_name: tr\n"
    )
    (llm / "keys.json").write_bytes(msgspec.json.encode({"tr": place.key}))
    options = {"baseURL": f"{place.url}/v1", "apiKey": place.key}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "tr",
        "options": options,
        "models": {MODEL: {"name": "apt"}},
    }
    (place.home / "opencode.json").write_bytes(msgspec.json.encode({"provider": {"tr": provider}}))
    (place.home / "node_modules").symlink_to(CACHE / "node" / "node_modules")
    shutil.copy(HERE / "node_clients.mjs", place.home)


def install() -> None:
    """Into .therouter/clients, once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not (CACHE / "node" / "node_modules").exists():
        print("installing the JavaScript clients", file=sys.stderr)
        (CACHE / "node").mkdir(exist_ok=True)
        install_node = ["npm", "install", "--no-fund", "--no-audit", "--silent", "--prefix", str(CACHE / "node")]
        subprocess.run([*install_node, *NODE], check=True)
    for name, packages, made in (("python", PYTHON, "llm"), ("aider", (AIDER,), "aider")):
        if not (CACHE / name / "bin" / made).exists():
            print(f"installing the clients of {name}", file=sys.stderr)
            _install_python(CACHE / name, packages)


def _install_python(folder: Path, packages: tuple[str, ...]) -> None:
    """With uv, which finds in seconds which versions go together; pip looks for them for half an hour."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
    subprocess.run([str(folder / "bin" / "uv"), "pip", "install", "--quiet", "--python", python, *packages], check=True)


@contextmanager
def running() -> Iterator[Place]:
    """The whole system over a provider for agents."""
    folder = Path(tempfile.mkdtemp(prefix="tr-clients-", dir="/tmp"))
    folder.chmod(0o711)
    with apt_upstream(message) as address:
        options = Options(port=0, model=False, addresses={"vllm": address}, models={"vllm": ["apt"]}, durable=False)
        system = LocalSystem(Home(folder / "system" / "global"), options)
        try:
            system.start()
            access = Access.open(system.home)
            access.ensure_tenant()
            key = access.create_key("clients")
            access.close()
            place = Place(system.url, key, folder / "home")
            configure(place)
            yield place
        finally:
            system.stop()
            shutil.rmtree(folder, ignore_errors=True)


def take(turn: Turn, place: Place) -> str:
    """Run one turn; what went wrong, or empty."""
    path = f"{CACHE / 'node' / 'node_modules' / '.bin'}:{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(place.home), "TMPDIR": "/tmp", **turn.environment}
    try:
        ran = subprocess.run(
            turn.command, cwd=place.home, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=TURN_TIMEOUT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "took too long"
    said = (ran.stdout + ran.stderr).decode(errors="replace")
    return "" if any(text in said for text in turn.expected) else said.strip()[-300:] or f"exit {ran.returncode}"


def main() -> int:
    """Install, run, print; 0 when every turn was completed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="clients whose name contains one of these, separated by commas")
    only = [name for name in parser.parse_args().only.split(",") if name]
    install()
    failures = 0
    done: set[str] = set()
    with running() as place:
        for turn in turns(place):
            if only and not any(name in turn.client for name in only):
                continue
            wrong = take(turn, place)
            failures += bool(wrong)
            done |= set() if wrong else {turn.client}
            print(f"{turn.client:28} {turn.kind:5} {'completed' if not wrong else 'FAILED: ' + wrong}", flush=True)
    print(f"{len(done)} clients completed a turn, {failures} turns failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
