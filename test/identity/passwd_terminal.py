"""Runs a command on a terminal of its own and types what it is told to.

Arguments: a JSON list of [text to wait for, text to type], then the command. Prints what the
terminal showed, and ends with the status of the command.
"""
import json
import os
import pty
import sys

steps = json.loads(sys.argv[1])
child, terminal = pty.fork()
if child == 0:
    os.execvp(sys.argv[2], sys.argv[2:])

shown = b""


def read():
    global shown
    try:
        data = os.read(terminal, 4096)
    except OSError:
        data = b""
    shown += data
    return data != b""


for expected, answer in steps:
    while expected.encode() not in shown and read():
        pass
    os.write(terminal, answer.encode())
while read():
    pass
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
