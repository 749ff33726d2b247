"""Notices to people, through one port: SES on AWS, DirectMail on Aliyun, a folder of files on one machine.

A notice is ours from its first word to its last: it quotes neither a request nor a secret. Where no sender is set, there is no
mail; whoever sends is told, and decides what that means.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

import msgspec

from handlers.settings import Deployment, Variable


class Notice(msgspec.Struct, frozen=True):
    """One message to one address."""

    to: str
    subject: str
    text: str


class MailFailed(RuntimeError):
    """The notice was not taken; the message says by whom."""


class Mailbox(Protocol):
    """Where notices go."""

    def send(self, notice: Notice) -> None:
        """Hand over one notice; MailFailed when it is not taken."""
        ...


class FolderMailbox:
    """One `.eml` file for each notice, readable by its owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, notice: Notice) -> None:
        """Write the file."""
        message = EmailMessage()
        message["To"], message["Subject"], message["From"] = notice.to, notice.subject, "therouter@localhost"
        message.set_content(notice.text)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(bytes(message))
        except OSError:
            raise MailFailed("the mailbox folder cannot be written") from None


class SesMailbox:
    """Amazon SES, in the region of the deployment."""

    def __init__(self, sender: str) -> None:
        import boto3  # noqa: PLC0415 - a process pays for its own cloud's client alone

        self._sender = sender
        self._client: Any = boto3.client("sesv2", region_name="us-east-2")

    def send(self, notice: Notice) -> None:
        """Give it to SES."""
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

        body = {"Text": {"Data": notice.text}}
        try:
            self._client.send_email(
                FromEmailAddress=self._sender,
                Destination={"ToAddresses": [notice.to]},
                Content={"Simple": {"Subject": {"Data": notice.subject}, "Body": body}},
            )
        except (BotoCoreError, ClientError):
            raise MailFailed("SES did not take the notice") from None


class NoMailbox:
    """No sender is set."""

    def send(self, notice: Notice) -> None:
        """Say so."""
        del notice
        raise MailFailed(f"no sender is set ({Variable.MAIL})")


def open_mailbox(deployment: Deployment, variables: Mapping[str, str]) -> Mailbox:
    """The mailbox of this deployment: `THEROUTER_MAIL` is the sender's address, or on one machine a folder."""
    place = variables.get(Variable.MAIL, "")
    if not place:
        return NoMailbox()
    if deployment.cloud == "local":
        return FolderMailbox(Path(place))
    if deployment.cloud == "aws":
        return SesMailbox(place)
    return _direct_mail(place, variables)


def _direct_mail(sender: str, variables: Mapping[str, str]) -> Mailbox:
    from handlers.clouds.aliyun_api import AliyunApi  # noqa: PLC0415 - as above

    return DirectMailbox(sender, AliyunApi("dm", "2015-11-23", variables))


class _Api(Protocol):
    def call(self, action: str, form: Mapping[str, str]) -> Any:
        """One signed call."""
        ...


class DirectMailbox:
    """Aliyun DirectMail."""

    def __init__(self, sender: str, api: _Api) -> None:
        self._sender, self._api = sender, api

    def send(self, notice: Notice) -> None:
        """Give it to DirectMail."""
        form = {
            "AccountName": self._sender,
            "AddressType": "1",
            "ReplyToAddress": "false",
            "ToAddress": notice.to,
            "Subject": notice.subject,
            "TextBody": notice.text,
        }
        try:
            answer = self._api.call("SingleSendMail", form)
        except (OSError, RuntimeError):
            raise MailFailed("DirectMail cannot be reached") from None
        if answer.status != 200:
            raise MailFailed("DirectMail did not take the notice")
