from __future__ import annotations

from email import message_from_bytes
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from handlers.clouds.http import Answer
from handlers.clouds.mail import DirectMailbox, FolderMailbox, MailFailed, NoMailbox, Notice, SesMailbox, open_mailbox
from handlers.settings import Deployment

NOTICE = Notice("a@example.com", "A subject", "Some words.\n")


def deployment(cloud: str, region: str = "global") -> Deployment:
    return Deployment.parse({"THEROUTER_CLOUD": cloud, "THEROUTER_REGION": region})


def test_a_folder_takes_one_private_file_for_each_notice(tmp_path: Path) -> None:
    mailbox = open_mailbox(deployment("local"), {"THEROUTER_MAIL": str(tmp_path / "mail")})
    assert isinstance(mailbox, FolderMailbox)
    mailbox.send(NOTICE)
    mailbox.send(NOTICE)
    paths = list((tmp_path / "mail").iterdir())
    assert [path.stat().st_mode & 0o777 for path in paths] == [0o600, 0o600]
    message = message_from_bytes(paths[0].read_bytes())
    assert (message["To"], message["Subject"], message.get_payload()) == (NOTICE.to, NOTICE.subject, NOTICE.text)
    with pytest.raises(MailFailed):
        FolderMailbox(paths[0] / "below-a-file").send(NOTICE)


def test_ses_takes_it_from_a_sender_that_is_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        mailbox = open_mailbox(deployment("aws"), {"THEROUTER_MAIL": "notices@example.com"})
        assert isinstance(mailbox, SesMailbox)
        with pytest.raises(MailFailed, match="SES"):
            mailbox.send(NOTICE)
        boto3.client("sesv2", region_name="us-east-2").create_email_identity(EmailIdentity="notices@example.com")
        mailbox.send(NOTICE)


def test_direct_mail_takes_it_in_one_call() -> None:
    class Api:
        def __init__(self, status: int) -> None:
            self.status, self.calls = status, list[tuple[str, dict[str, str]]]()

        def call(self, action: str, form: dict[str, str]) -> Answer:
            self.calls.append((action, form))
            return Answer(self.status, b"{}")

    api = Api(200)
    DirectMailbox("notices@example.cn", api).send(NOTICE)  # type: ignore[arg-type]
    ((action, form),) = api.calls
    assert (action, form["ToAddress"], form["TextBody"]) == ("SingleSendMail", NOTICE.to, NOTICE.text)
    with pytest.raises(MailFailed):
        DirectMailbox("notices@example.cn", Api(403)).send(NOTICE)  # type: ignore[arg-type]


def test_without_a_sender_nothing_is_sent_and_that_is_said() -> None:
    mailbox = open_mailbox(deployment("local"), {})
    assert isinstance(mailbox, NoMailbox)
    with pytest.raises(MailFailed):
        mailbox.send(NOTICE)
