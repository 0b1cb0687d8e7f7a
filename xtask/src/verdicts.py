"""Prints one line per case of the suite's index: case, verdict, verdict on the closing, report."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as index:
    for cases in json.load(index).values():
        for case, said in cases.items():
            print(case, said["behavior"], said["behaviorClose"], said["reportfile"])
