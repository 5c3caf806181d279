"""Logging."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from kombu.log import (
    LOG_LEVELS,
    Log,
    LogMixin,
    get_logger,
    get_loglevel,
    naive_format_parts,
    safeify_format,
)
from kombu.utils.functional import lazy


class Worker(LogMixin):
    pass


class Awkward:
    def __repr__(self):
        raise RuntimeError("no")


class TestGetLogger:
    def test_is_silent_until_somebody_listens(self, capfd):
        logger = get_logger("kombu.tests.silent")
        logger.error("nobody hears this")
        assert capfd.readouterr() == ("", "")
        assert get_logger(logger) is logger
        assert len(logger.handlers) == 1

    def test_the_root_logger(self):
        assert get_logger(None) is logging.getLogger()


def test_levels():
    assert get_loglevel("INFO") == logging.INFO
    assert get_loglevel(17) == 17
    assert LOG_LEVELS[40] == "ERROR"
    with pytest.raises(KeyError):
        get_loglevel("LOUD")


def test_format_parts():
    assert list(naive_format_parts("a %s b %r 100%% %(name)d %-5.2f %*d")) == ["s", "r", "d", "f", "d"]
    assert list(naive_format_parts("none")) == []


def test_safeify_never_raises():
    fmt = "%s %r %d %s"
    shown = list(safeify_format(fmt, (Awkward(), Awkward(), 5, lazy(lambda: 3))))
    assert (fmt % tuple(shown)).count("Unrepresentable") == 2
    assert shown[2:] == [5, "3"]


class TestLogMixin:
    @pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "critical"])
    def test_levels(self, caplog, level):
        with caplog.at_level(logging.DEBUG):
            getattr(Worker(), level)("got %s and %r", "this", "that")
        (record,) = caplog.records
        assert record.getMessage() == "Worker - got this and 'that'"
        assert record.levelno == get_loglevel(level.upper())
        assert record.exc_info is None

    def test_errors_have_their_traceback(self, caplog):
        try:
            raise ValueError("boom")
        except ValueError:
            Worker().error("failed: %s", "x")
        assert caplog.records[0].exc_info[0] is ValueError

    def test_arguments_that_cannot_be_shown_do_no_harm(self, caplog):
        Worker().warn("got %r, %s, %d", Awkward(), Awkward(), 5)
        assert "Unrepresentable" in caplog.text

    def test_more_arguments_than_the_format_takes(self, caplog):
        Worker().warn("100% sure", "extra")
        Worker().warn("plain", "extra")
        assert "Worker - plain" in caplog.messages

    def test_name_enabled_and_annotate(self):
        log = Log("special")
        assert log.logger is logging.getLogger("special")
        assert log.annotate("x") == "special - x"
        assert Worker().is_enabled_for("ERROR")
        assert not Log("quiet", logger=_quiet()).is_enabled_for(logging.INFO)

    def test_a_level_by_its_name(self, caplog):
        Worker().log("ERROR", "by name")
        assert caplog.records[0].levelno == logging.ERROR


def _quiet():
    logger = logging.getLogger("kombu.tests.quiet")
    logger.setLevel(logging.CRITICAL)
    return logger


@pytest.mark.parametrize("where", ["stderr", "file"])
def test_setup_logging(tmp_path, where):
    # Given: a process of its own, whose root logger has no handler.
    logfile = str(tmp_path / "log") if where == "file" else None
    program = (
        "import logging\n"
        "from kombu.log import setup_logging\n"
        f"setup_logging('INFO', {logfile!r}); setup_logging('INFO', {logfile!r})\n"
        "logging.getLogger('app').info('hello'); logging.getLogger('app').debug('not this')\n"
    )
    # When
    err = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stderr
    # Then
    assert (err if where == "stderr" else (tmp_path / "log").read_text()) == "hello\n"
