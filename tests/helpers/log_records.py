"""Record the package's log messages for longer than one test, as `caplog` cannot."""

import contextlib
import logging


@contextlib.contextmanager
def recorded(logger_name="galaxy_edge.runtime"):
    """Yield a list that receives every `logging.LogRecord` of level info and above of a logger and those below it."""
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
