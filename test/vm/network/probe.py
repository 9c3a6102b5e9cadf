"""Tries to reach things, all at the same time, from wherever it runs: a machine or a namespace.

Input: a JSON list of probes, each with `kind` and `wait` (seconds until it counts as not reached).
Output: a JSON list of results in the same order, texts such as "open 10.42.0.2", "refused", "silent".
With the arguments "hold" and what to hold (JSON) it opens one connection, says something on it ten times a
second, and counts the echoes.
"""
import errno
import json
import os
import random
import socket
import struct
import sys
import threading
import time

ETH_ALL = 3


def why(error):
    if isinstance(error, TimeoutError):
        return "silent"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return errno.errorcode.get(error.errno or 0, str(error))


def probe_tcp(probe):
    connection = socket.socket()
    connection.settimeout(probe["wait"])
    if "from" in probe:
        connection.bind((probe["from"], 0))
    connection.connect((probe["to"], probe["port"]))
    seen = connection.recv(200).decode().strip()
    connection.close()
    return f"open {seen}" if seen else "closed at once"


def probe_udp(probe):
    """Asks every half second: a first packet may be lost while addresses are looked up."""
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.connect((probe["to"], probe["port"]))
    text = os.urandom(probe.get("size", 16) // 2).hex().encode()
    end = time.monotonic() + probe["wait"]
    last = "silent"
    while time.monotonic() < end:
        channel.settimeout(min(0.5, max(0.01, end - time.monotonic())))
        try:
            channel.send(text)
            seen, back = channel.recv(65536).split(b"\n", 1)
            return f"open {seen.decode()}" if back == text else "garbled"
        except OSError as error:
            last = why(error)
            time.sleep(0 if last == "silent" else 0.1)
    return last


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def echo_request(payload, number=1):
    head = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xFFFF, number)
    return head[:2] + struct.pack("!H", checksum(head + payload)) + head[4:] + payload


def probe_icmp(probe):
    channel = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    mark = os.urandom(16)
    end = time.monotonic() + probe["wait"]
    last = "silent"
    while time.monotonic() < end:
        try:
            channel.sendto(echo_request(mark), (probe["to"], 0))
        except OSError as error:
            last = why(error)
        half = min(end, time.monotonic() + 0.5)
        while time.monotonic() < half:
            channel.settimeout(max(0.01, half - time.monotonic()))
            try:
                packet = channel.recv(2048)
            except OSError:
                continue
            if packet[20] == 0 and packet.endswith(mark):
                return "open"
    return last


RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "TXT": 16, "AAAA": 28, "HTTPS": 65, "ANY": 255}


def skip_name(message, offset):
    while message[offset]:
        if message[offset] >= 192:
            return offset + 2
        offset += message[offset] + 1
    return offset + 1


def read_reply(reply):
    code = RCODES.get(reply[3] & 15, "?")
    offset = skip_name(reply, 12) + 4
    found = []
    for _ in range(struct.unpack("!H", reply[6:8])[0]):
        offset = skip_name(reply, offset)
        kind, _, _, size = struct.unpack("!HHIH", reply[offset : offset + 10])
        data = reply[offset + 10 : offset + 10 + size]
        if kind == 1:
            found.append(socket.inet_ntoa(data))
        elif kind == 28:
            found.append(socket.inet_ntop(socket.AF_INET6, data))
        offset += 10 + size
    return " ".join([code, *sorted(found)])


def probe_dns(probe):
    name = b"".join(bytes([len(part)]) + part.encode() for part in probe["name"].split("."))
    number = struct.pack("!H", random.randrange(65536))
    question = number + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + name + b"\0" + struct.pack("!HH", TYPES[probe.get("type", "A")], 1)
    where = (probe["to"], probe.get("port", 53))
    if probe.get("over") == "tcp":
        connection = socket.create_connection(where, probe["wait"])
        connection.sendall(struct.pack("!H", len(question)) + question)
        (size,) = struct.unpack("!H", connection.recv(2))
        return read_reply(connection.recv(size))
    channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    channel.settimeout(probe["wait"])
    channel.connect(where)
    channel.send(question)
    while True:
        reply = channel.recv(4096)
        if reply[:2] == number:
            return read_reply(reply)


# Frames of our own making. ------------------------------------------------------------------------


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def own_mac(card):
    with open(f"/sys/class/net/{card}/address") as file:
        return file.read().strip()


def ipv4(probe, protocol, payload, offset=0, more=False):
    flags = (0x2000 if more else 0) | offset // 8
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), probe.get("ident", 7), flags, 64, protocol, 0, socket.inet_aton(probe["source"]), socket.inet_aton(probe["to"]))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def tcp_segment(probe, payload):
    head = struct.pack("!HHIIBBHHH", probe["from_port"], probe["port"], 1, 0, 0x50, 2, 65535, 0, 0)
    pseudo = socket.inet_aton(probe["source"]) + socket.inet_aton(probe["to"]) + struct.pack("!BBH", 0, 6, len(head) + len(payload))
    return head[:16] + struct.pack("!H", checksum(pseudo + head + payload)) + head[18:] + payload


def udp_datagram(probe, payload):
    return struct.pack("!HHHH", probe["from_port"], probe["port"], 8 + len(payload), 0) + payload


def ipv6(probe, token):
    source, target = (socket.inet_pton(socket.AF_INET6, probe[key]) for key in ("source", "to"))
    if probe["protocol"] == "udp":
        number, body = 17, struct.pack("!HHHH", 5353, 5353, 8 + len(token), 0) + token
    else:
        number = 58
        code = {"echo": 128, "router": 134, "solicit": 135, "advert": 136}[probe["protocol"]]
        body = struct.pack("!BBH", code, 0, 0) + (b"\x40\0\x07\x08" + bytes(8) if code == 134 else bytes(4) + target) + token
    pseudo = source + target + struct.pack("!II", len(body), number)
    at = 6 if number == 17 else 2
    body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]
    return struct.pack("!IHBB", 6 << 28, len(body), number, 255) + source + target + body


def arp(probe, token):
    code = {"request": 1, "reply": 2}[probe["protocol"]]
    sender = mac(probe.get("claims_mac", probe["from_mac"])) + socket.inet_aton(probe["source"])
    target = mac(probe.get("target_mac", "00:00:00:00:00:00")) + socket.inet_aton(probe["to"])
    return struct.pack("!HHBBH", 1, 0x800, 6, 4, code) + sender + target + token


def packets_of(probe, token):
    """(ethertype, bytes) of each frame that the probe sends."""
    protocol = probe["protocol"]
    if probe["family"] == "arp":
        return [(0x806, arp(probe, token))]
    if probe["family"] == "ipv6":
        return [(0x86DD, ipv6(probe, token))]
    if probe["family"] == "ether":
        return [(probe["ethertype"], token.ljust(60, b"\0"))]
    number = {"icmp": 1, "ipip": 4, "tcp": 6, "udp": 17, "gre": 47, "sctp": 132}[protocol]
    body = {
        "icmp": lambda: echo_request(token),
        "tcp": lambda: tcp_segment(probe, token),
        "udp": lambda: udp_datagram(probe, token * (1 + probe.get("size", 0) // len(token))),
        "ipip": lambda: ipv4({**probe, "to": probe["inner"]}, 1, echo_request(token)),
    }.get(protocol, lambda: token)()
    size = probe.get("fragment", 0)
    if size == 0:
        return [(0x800, ipv4(probe, number, body))]
    return [(0x800, ipv4(probe, number, body[:size], 0, True)), (0x800, ipv4(probe, number, body[size:], size))]


def probe_frame(probe):
    """Sends it three times. "answered" where a SYN of it was; else "sent"."""
    card = probe.get("card", "eth0")
    probe = {"from_mac": own_mac(card), "from_port": random.randrange(20000, 60000), **probe}
    token = f"token:{probe['token']};".encode()
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_ALL))
    wire.bind((card, 0))
    head = mac(probe["to_mac"]) + mac(probe["from_mac"])
    tag = struct.pack("!HH", 0x8100, probe["vlan"]) if "vlan" in probe else b""
    end = time.monotonic() + probe["wait"]
    for _ in range(3):
        for kind, payload in packets_of(probe, token):
            wire.send((head + tag + struct.pack("!H", kind) + payload).ljust(60, b"\0"))
        time.sleep(0.05)
    if probe["protocol"] != "tcp":
        return "sent"
    while time.monotonic() < end:
        wire.settimeout(max(0.01, end - time.monotonic()))
        try:
            frame = wire.recv(65536)
        except TimeoutError:
            break
        ports = struct.pack("!HH", probe["port"], probe["from_port"])
        if frame[6:12] != mac(probe["from_mac"]) and frame[12:14] == b"\x08\0" and frame[23] == 6:
            if frame[34:38] == ports and frame[47] & 0x12 == 0x12:
                return "answered"
    return "sent"


def probe_pour(probe):
    """Bytes per second that come ("in") or are sent ("out") within `wait` seconds."""
    connection = socket.create_connection((probe["to"], probe["port"]), 10)
    connection.recv(200)
    inward = probe["direction"] == "in"
    if inward:
        connection.sendall(b"pour")
    connection.settimeout(2)
    block, total, start = b"y" * 65536, 0, time.monotonic()
    while time.monotonic() - start < probe["wait"]:
        try:
            total += len(connection.recv(65536)) if inward else connection.send(block)
        except TimeoutError:
            break
    return str(round(total / (time.monotonic() - start)))


KINDS = {
    "tcp": probe_tcp,
    "udp": probe_udp,
    "icmp": probe_icmp,
    "dns": probe_dns,
    "frame": probe_frame,
    "pour": probe_pour,
}


def run(probe, results, index):
    try:
        results[index] = KINDS[probe["kind"]](probe)
    except OSError as error:
        results[index] = why(error)
    except (IndexError, struct.error):
        results[index] = "garbled"


def hold(wanted):
    """Keeps the state in a file: {"echoes", "error"}."""
    state = {"echoes": 0, "error": None}
    kind = socket.SOCK_STREAM if wanted["kind"] == "tcp" else socket.SOCK_DGRAM
    channel = socket.socket(socket.AF_INET, kind)
    channel.settimeout(10)
    channel.connect((wanted["to"], wanted["port"]))
    channel.settimeout(0.1)
    while True:
        try:
            channel.send(f"flow:{wanted['name']} ".encode())
            if channel.recv(65536):
                state["echoes"] += 1
        except TimeoutError:
            pass
        except OSError as error:
            state["error"] = why(error)
        with open(wanted["file"] + ".new", "w") as file:
            json.dump(state, file)
        os.rename(wanted["file"] + ".new", wanted["file"])
        time.sleep(0.1)


def main():
    if sys.argv[1:2] == ["hold"]:
        hold(json.loads(sys.argv[2]))
    wanted = json.load(sys.stdin)
    results = ["nothing"] * len(wanted)
    threads = [threading.Thread(target=run, args=(probe, results, index)) for index, probe in enumerate(wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    json.dump(results, sys.stdout)


main()
