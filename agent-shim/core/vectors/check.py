#!/usr/bin/env python3
"""Answers draw.json independently of the Rust code: the reference for ports to other languages."""

import json
import math
import pathlib
import statistics
import struct
import sys

MASK = 0xFFFFFFFF
LANE_A, LANE_B, KEY = 0x53514131, 0x53514231, 0x53514B31
TAGS = {"choice": 1, "percentage": 2, "delay": 3, "code": 4, "behavior": 5, "text": 6, "damage": 7}


def rotate(x, by):
    return ((x << by) | (x >> (32 - by))) & MASK


def murmur3_32(data, seed):
    h = seed
    whole = len(data) // 4 * 4
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        h ^= rotate(k * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK
        h = (rotate(h, 13) * 5 + 0xE6546B64) & MASK
    if data[whole:]:
        k = int.from_bytes(data[whole:], "little")
        h ^= rotate(k * 0xCC9E2D51 & MASK, 15) * 0x1B873593 & MASK
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def lowbias32(x):
    x = (x ^ x >> 16) * 0x7FEB352D & MASK
    x = (x ^ x >> 15) * 0x846CA68B & MASK
    return x ^ x >> 16


def unit(text):
    data = text.encode()
    return murmur3_32(data, LANE_A), murmur3_32(data, LANE_B)


def key(question, seed, tenant, session, experiment):
    head = bytes([TAGS[question]]) + struct.pack("<Q", seed)
    name = "" if question == "percentage" else experiment
    return murmur3_32(head + b"\0".join(part.encode() for part in (tenant, session, name)), KEY)


def draw(k, text):
    a, b = unit(text)
    return lowbias32(lowbias32(a ^ k) ^ b)


def threshold(p):
    return max(1, math.floor(p * 2**32)) if p > 0 else 0


def delay(kind, number):
    (name, fields), = kind.items()
    if name == "fixed":
        return fields["ms"]
    if name == "uniform":
        return fields["min_ms"] + (number * (fields["max_ms"] - fields["min_ms"] + 1) >> 32)
    z = statistics.NormalDist().inv_cdf((number + 0.5) / 2**32)
    return min(fields["max_ms"], math.floor(fields["median_ms"] * math.exp(fields["sigma"] * z) + 0.5))


def main():
    vectors = json.loads((pathlib.Path(__file__).parent / "draw.json").read_text())
    checks = {
        "units": lambda r: unit(r["id"]) == (r["a"], r["b"]),
        "keys": lambda r: key(r["question"], int(r["seed"]), r["tenant"], r["session"], r["experiment"]) == r["key"],
        "draws": lambda r: draw(r["key"], r["id"]) == r["draw"],
        "thresholds": lambda r: threshold(r["probability"]) == r["threshold"],
        "indices": lambda r: r["draw"] * r["len"] >> 32 == r["index"],
        "delays": lambda r: delay(r["delay"], r["draw"]) == r["ms"],
    }
    wrong = [(name, row) for name, check in checks.items() for row in vectors[name] if not check(row)]
    for name, row in wrong:
        print(f"{name}: disagrees with {row}")
    print(f"{sum(map(len, vectors.values()))} examples, {len(wrong)} wrong")
    return bool(wrong or set(vectors) != set(checks))


if __name__ == "__main__":
    sys.exit(main())
