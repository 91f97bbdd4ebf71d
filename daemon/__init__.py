"""punchd's service: badge taps in, punches on a timesheet out."""

__version__ = "0.1.0"
