"""What is stored of an API key, and checking it without stopping the world.

bcrypt costs some 60 ms of a core, so it runs in a small thread pool (it releases the interpreter lock) with a bounded
queue and a deadline. A full queue or a missed deadline is our trouble, hence `Unavailable`, never a refusal.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import bcrypt

from handlers.errors import Unavailable

COST = 10
_DOMAIN = b"tr-key-v1"
_BCRYPT_ALPHABET = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_BCRYPT_DIGEST_CHARS = 31


def _prehash(secret: bytes) -> bytes:
    # bcrypt reads 72 bytes and stops at NUL; 44 characters of base64 carry the whole secret past both traps.
    return base64.b64encode(hashlib.sha256(_DOMAIN + secret).digest())


def hash_secret(secret: bytes, cost: int = COST) -> str:
    """`bcrypt(base64(sha256(domain + secret)), cost 10)`; about 60 ms of CPU. Nothing but a test has a reason for another cost."""
    return bcrypt.hashpw(_prehash(secret), bcrypt.gensalt(cost)).decode()


def verify_secret(secret: bytes, hashed: str) -> bool:
    """Whether the hash is of this secret; raises ValueError when the hash is none."""
    return bcrypt.checkpw(_prehash(secret), hashed.encode())


def invent_hash() -> str:
    """A hash that no secret has, made without the work of hashing: for key ids that do not exist."""
    digest = "".join(secrets.choice(_BCRYPT_ALPHABET) for _ in range(_BCRYPT_DIGEST_CHARS))
    return bcrypt.gensalt(COST).decode() + digest


class BcryptPool:
    """A bounded number of threads that verify secrets.

    Args:
        workers: threads; by default one core stays free for the event loop.
        queue_max: checks that may wait beyond those running.
        deadline_s: seconds from the call to the answer.
    """

    def __init__(self, workers: int | None = None, queue_max: int = 64, deadline_s: float = 2.0) -> None:
        self._workers = workers or max(1, (os.cpu_count() or 2) - 1)
        self._admitted_max = self._workers + queue_max
        self._deadline_s = deadline_s
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="bcrypt")
        self._admitted = 0
        self._lock = threading.Lock()

    async def verify(self, secret: bytes, hashed: str) -> bool:
        """Whether the hash is of this secret; raises Unavailable when that cannot be decided in time."""
        job = self._submit(secret, hashed)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(job), self._deadline_s)
        except TimeoutError:
            raise Unavailable("Key verification is busy; retry shortly.", retry_after_s=1) from None
        except ValueError:
            raise Unavailable("The API key cannot be verified now; retry shortly.", retry_after_s=5) from None

    def _submit(self, secret: bytes, hashed: str) -> Future[bool]:
        with self._lock:
            if self._admitted >= self._admitted_max:
                raise Unavailable("Key verification is busy; retry shortly.", retry_after_s=1)
            self._admitted += 1
        job = self._threads.submit(verify_secret, secret, hashed)
        job.add_done_callback(self._release)
        return job

    def _release(self, _job: Future[bool]) -> None:
        with self._lock:
            self._admitted -= 1

    def close(self) -> None:
        """Stop the threads; checks that still wait are dropped."""
        self._threads.shutdown(wait=True, cancel_futures=True)
