"""Runs the suite. Its cases about compression take what they send and hear for bytes, and are given text: what is
binary with a character for each byte."""

import sys

from kosoku import _caseindex
from kosoku._cli import main

build_index = _caseindex.build_index


def mended_index(*arguments):
    index = build_index(*arguments)
    cases = sys.modules["case12_x_x"]
    heard = cases.onMessage

    def on_message(case, message, binary):
        return heard(case, as_bytes(message, "latin-1" if binary else "utf-8"), binary)

    for case in cases.Case12_X_X + cases.Case13_X_X:
        case.onMessage = on_message
    cases.hashlib = Hashes(cases.hashlib)
    return index


class Hashes:
    def __init__(self, hashlib):
        self.hashlib = hashlib

    def sha1(self):
        return Hash(self.hashlib.sha1())


class Hash:
    def __init__(self, sha1):
        self.hash = sha1

    def update(self, data):
        self.hash.update(as_bytes(data, "latin-1"))

    def digest(self):
        return self.hash.digest()


def as_bytes(data, encoding):
    return data.encode(encoding) if isinstance(data, str) else data


_caseindex.build_index = mended_index
sys.exit(main())
