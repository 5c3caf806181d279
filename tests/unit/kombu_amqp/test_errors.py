"""Errors are caught as kombu's and as the driver's."""

from __future__ import annotations

import pickle

import amqp
import pytest
from amqp import exceptions as driver

from kombu import Connection
from kombu import exceptions as ours
from kombu_amqp import errors
from kombu_amqp.errors import ChannelError, ConnectionError, error_for_code, raise_translated

CODES = {
    311: (ours.RecoverableChannelError, driver.ContentTooLarge),
    313: (ours.RecoverableChannelError, driver.NoConsumers),
    320: (ours.RecoverableConnectionError, driver.ConnectionForced),
    402: (ours.ConnectionError, driver.InvalidPath),
    403: (ours.AccessRefused, driver.AccessRefused),
    404: (ours.NotFound, driver.NotFound),
    405: (ours.ResourceLocked, driver.ResourceLocked),
    406: (ours.PreconditionFailed, driver.PreconditionFailed),
    501: (ours.ConnectionError, driver.FrameError),
    502: (ours.ConnectionError, driver.FrameSyntaxError),
    503: (ours.ConnectionError, driver.InvalidCommand),
    504: (ours.ConnectionError, driver.ChannelNotOpen),
    505: (ours.ConnectionError, driver.UnexpectedFrame),
    506: (ours.ResourceError, driver.ResourceError),
    530: (ours.ConnectionError, driver.NotAllowed),
    540: (ours.ConnectionError, driver.AMQPNotImplementedError),
    541: (ours.ConnectionError, driver.InternalError),
}

#: The driver has these as families and predicates only.
NEVER_RAISED = (driver.IrrecoverableChannelError, driver.IrrecoverableConnectionError, driver.Blocked)


@pytest.mark.parametrize("code", CODES)
def test_reply_codes(code: int) -> None:
    # When
    error = error_for_code(code, "REASON", (50, 10), ChannelError)
    # Then
    for family in CODES[code]:
        assert isinstance(error, family)
    assert (error.reply_code, error.reply_text, error.method_sig) == (code, "REASON", (50, 10))
    assert str(error) == f"Queue.declare: ({code}) REASON"
    assert isinstance(error, ours.AMQPError) and isinstance(error, driver.AMQPError)


@pytest.mark.parametrize(
    "kind",
    [
        error
        for error in vars(driver).values()
        if isinstance(error, type) and issubclass(error, driver.AMQPError) and error is not driver.AMQPError
    ],
)
def test_all_of_the_drivers_are_translated(kind: type[Exception]) -> None:
    # When
    family = kind.__mro__[1] if kind in NEVER_RAISED else kind
    with pytest.raises(family) as caught:
        raise_translated(kind("REASON", (50, 10)))
    # Then
    assert isinstance(caught.value, ours.AMQPError)
    assert "REASON" in str(caught.value)


def test_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(error_for_code(404, "no queue", (50, 10), ChannelError)))
    assert (type(error), error.reply_code, error.reply_text) == (errors.NotFound, 404, "no queue")


def test_a_lost_connection_is_an_oserror_too() -> None:
    for family in (OSError, ours.RecoverableConnectionError, driver.RecoverableConnectionError):
        assert issubclass(errors.ConnectionLost, family)
        assert not issubclass(errors.ConnectionBlocked, family)


def test_from_the_broker(amqp_url: str) -> None:
    with Connection(amqp_url) as connection:
        for family in (ours.NotFound, amqp.NotFound, connection.channel_errors):
            with pytest.raises(family, match=r"Queue.declare: \(404\) NOT_FOUND - no queue 'missing-queue'"):
                connection.channel().queue_declare("missing-queue", passive=True)


def test_wrong_password(amqp_url: str) -> None:
    with Connection(amqp_url, password="wrong", userid="guest") as right:
        assert right.connect()  # (the URL's goes first)
    with pytest.raises(ours.AccessRefused, match="ACCESS_REFUSED") as caught:
        Connection(amqp_url.replace(":guest@", ":secret-word@")).connect()
    assert isinstance(caught.value, amqp.AccessRefused)
    assert "secret-word" not in str(caught.value)


def test_missing_virtual_host(amqp_url: str) -> None:
    with pytest.raises(amqp.NotAllowed, match="vhost nowhere not found"):
        Connection(amqp_url.removesuffix("/") + "nowhere").connect()


def test_inequivalent_arguments_show_both_values(amqp_url: str) -> None:
    with Connection(amqp_url) as connection:
        # Given
        channel = connection.default_channel
        channel.queue_declare("inequivalent", exclusive=True, arguments={"x-max-length": 5})
        # When
        with pytest.raises(ours.PreconditionFailed) as caught:
            channel.queue_declare("inequivalent", exclusive=True, arguments={"x-max-length": 7})
        # Then
        assert "received '7'" in str(caught.value) and "current is '5'" in str(caught.value)
        # and the channel goes on
        assert channel.queue_declare("inequivalent", passive=True).message_count == 0


def test_unknown_code_is_the_default() -> None:
    assert type(error_for_code(599, "?", (10, 50), ConnectionError)) is ConnectionError
