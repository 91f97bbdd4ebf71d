"""Real crashes of a real punchd: kills, power cuts, failing disks. Each module here runs by itself (`--help`)."""
