"""Record the package's log messages, or react to them, as `caplog` cannot.

They can be recorded for longer than one test.
"""

import contextlib
import logging


@contextlib.contextmanager
def recorded(logger_name="galaxy_edge.runtime"):
    """Yield a list that receives every `logging.LogRecord` of a logger.

    Records of level info and above are received, also those of loggers below it.
    """
    records = []
    handler = logging.Handler(logging.INFO)
    handler.emit = records.append
    logger = logging.getLogger(logger_name)
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


@contextlib.contextmanager
def on_message(logger_name, function):
    """Call a function with every message of level info and above.

    What it raises reaches the caller.
    """
    logger, level = logging.getLogger(logger_name), logging.getLogger(logger_name).level
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: function(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
