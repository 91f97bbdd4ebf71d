"""Connecteam's time clock as a pure model: requests in, responses out, no sockets, no sleeping.

Each rule names the fact it models ("facts 1.4" is a section of docs/facts.md, "S3" the vendor's Real-Time
Clocking page, "U1" and so on an unknown). What the facts leave open is a switch in behaviour.py.
"""
