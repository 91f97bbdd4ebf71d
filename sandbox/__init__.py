"""A model of Connecteam to try punchd against: over real HTTP or in process, with faults that can be switched on.

Nothing in daemon/ or drivers/ imports it, save one lazy import in the demo command.
"""
