"""Apprise, through its own kind of webhook."""

import logging

import pytest

from letters import letter
from peerscope.errors import ConfigError, DeliveryError
from peerscope.host.secret_files import Secret
from peerscope.notify.apprise import Apprise
from peerscope.notify.settings import AppriseConfig
from receiver import Receiver

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # its own, on Python 3.11 and 3.12


def channel(url: str) -> Apprise:
    return Apprise("any", AppriseConfig(kind="apprise", url=Secret(url)))


def test_apprise_carries_title_and_text(receiver: Receiver) -> None:
    channel(receiver.url.replace("http", "json")).deliver(letter(description="97 % busy"))
    (request,) = receiver.requests
    assert request.json["title"] == "[FIRING high] CPU is busy"
    assert "97 % busy" in request.json["message"]


def test_what_apprise_could_not_deliver_is_an_error_without_the_url(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.status = 500
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError) as told:
        channel(receiver.url.replace("http://", "json://user:hunter2@") + "/top-secret").deliver(letter())
    assert told.value.again
    assert "hunter2" not in caplog.text + str(told.value)
    assert "top-secret" not in caplog.text + str(told.value)


@pytest.mark.parametrize("url", ["hunter2", "nosuchservice://hunter2"])
def test_a_url_that_apprise_does_not_know_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match=r"notify\.channels\.any\.url") as told:
        channel(url)
    assert "hunter2" not in str(told.value)
