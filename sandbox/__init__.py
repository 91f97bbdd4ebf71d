"""Models of the timesheet services on loopback, and the demo."""
