"""How fast streamer is, what an event costs, and what it holds in memory: ``python -m bench --help``.

A row is one thing that is measured, in several runs: `rows.py` lists them all. Everything that a row needs beside
streamer runs on this machine in processes of its own, so that its work is not measured: a real broker
(`streamer.devkit.broker`), a receiver that costs next to nothing (`receiver.py`), and this program, which watches.
"""
