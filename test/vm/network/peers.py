"""Whoever machines may or may not reach: echo servers, a name server, and a witness of all packets.

Reads what to be from its first line of input (JSON), answers one line of JSON for each line after it, and ends
with its input. In a machine, where nobody holds its input, `stats` names a file that it keeps up to date instead.
"""
import json
import os
import re
import socket
import struct
import sys
import threading
import time

lock = threading.Lock()
counts = {}  # Messages by the name that each begins with: "flow:<name> ..."
clients = {}  # How often each client was here, as "tcp 7001 10.42.0.2".
questions = []  # What the name server was asked, as "A allowed.test".
packets = {}  # What the witness saw: "wan out udp 10.0.0.1 198.51.100.20 7001" or "tap in token:<name>".
version = [0]


def note(table, key, more=1):
    with lock:
        table[key] = table.get(key, 0) + more
        version[0] += 1


def note_message(data):
    found = re.match(rb"flow:([\w-]+)", data)
    if found:
        note(counts, found.group(1).decode())


def serve_connection(connection, port, client):
    """Says who it sees, then whatever it is told; "pour" makes it send without end, and what begins with y is only counted."""
    try:
        connection.sendall(f"{client}\n".encode())
        while True:
            data = connection.recv(65536)
            if not data:
                return
            if data.startswith(b"pour"):
                block = b"x" * 65536
                while True:
                    connection.sendall(block)
            note_message(data)
            if data.startswith(b"y"):
                note(counts, "taken", len(data))
            else:
                connection.sendall(data)
    except OSError:
        pass
    finally:
        connection.close()


def serve_tcp(address, port):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(64)

    def accept():
        while True:
            connection, (client, _) = server.accept()
            note(clients, f"tcp {port} {client}")
            threading.Thread(target=serve_connection, args=(connection, port, client), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def serve_udp(address, port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))

    def answer():
        while True:
            try:
                data, peer = server.recvfrom(65536)
                note(clients, f"udp {port} {peer[0]}")
                note_message(data)
                server.sendto(peer[0].encode() + b"\n" + data, peer)
            except OSError:
                pass

    threading.Thread(target=answer, daemon=True).start()


TYPES = {"A": 1, "CNAME": 5, "TXT": 16, "AAAA": 28}
TYPE_NAMES = {number: name for name, number in TYPES.items()}


def encode_name(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def record(name, kind, value, ttl):
    data = {
        "A": lambda: socket.inet_aton(value),
        "AAAA": lambda: socket.inet_pton(socket.AF_INET6, value),
        "CNAME": lambda: encode_name(value),
        "TXT": lambda: bytes([len(value)]) + value.encode(),
    }[kind]()
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


def resolve(zones, question):
    """zones: {name: {"A": [address, ...], "CNAME": [...], "ttl": seconds}}"""
    offset, labels = 12, []
    while question[offset]:
        labels.append(question[offset + 1 : offset + 1 + question[offset]].decode("ascii", "replace").lower())
        offset += 1 + question[offset]
    kind = TYPE_NAMES.get(struct.unpack("!H", question[offset + 1 : offset + 3])[0], "?")
    name = ".".join(labels)
    with lock:
        questions.append(f"{kind} {name}")
    answers, at = [], name
    while at in zones and "CNAME" in zones[at]:
        answers.append(record(at, "CNAME", zones[at]["CNAME"][0], 60))
        at = zones[at]["CNAME"][0]
    zone = zones.get(at)
    if zone is not None:
        answers += [record(at, kind, value, zone.get("ttl", 60)) for value in zone.get(kind, [])]
    flags = 0x8180 | (3 if zone is None else 0)
    header = question[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0)
    return header + question[12 : offset + 5] + b"".join(answers)


def serve_dns(address, port, zones):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, port))
    streams = socket.socket()
    streams.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    streams.bind((address, port))
    streams.listen(16)

    def answer():
        while True:
            question, peer = server.recvfrom(4096)
            note(clients, f"udp {port} {peer[0]}")
            server.sendto(resolve(zones, question), peer)

    def accept():
        while True:
            connection, peer = streams.accept()
            note(clients, f"tcp {port} {peer[0]}")
            try:
                connection.settimeout(2)
                (size,) = struct.unpack("!H", connection.recv(2))
                reply = resolve(zones, connection.recv(size))
                connection.sendall(struct.pack("!H", len(reply)) + reply)
            except (OSError, struct.error):
                pass
            connection.close()

    threading.Thread(target=answer, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


def place_of(interface):
    return "tap" if interface.startswith("cpt-") else interface


def describe(frame):
    if frame[12:14] != b"\x08\x00" or len(frame) < 34:
        return "ether " + frame[12:14].hex()
    size = (frame[14] & 15) * 4
    protocol = PROTOCOLS.get(frame[23], str(frame[23]))
    source, target = socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])
    ports = frame[14 + size : 18 + size]
    later = struct.unpack("!H", frame[20:22])[0] & 0x1FFF
    port = struct.unpack("!H", ports[2:4])[0] if protocol in ("tcp", "udp") and len(ports) == 4 and not later else 0
    return f"{protocol} {source} {target} {port}"


def watch():
    """Every frame of every interface of this namespace, before and after whatever filters it."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)

    def look():
        while True:
            frame, (interface, _, direction, _, _) = wire.recvfrom(65536)
            place = f"{place_of(interface)} {'out' if direction == 4 else 'in'}"
            token = re.search(rb"token:([\w.-]+);", frame)
            note(packets, f"{place} {'token:' + token.group(1).decode() if token else describe(frame)}")

    threading.Thread(target=look, daemon=True).start()


dialled = []


def dial(address, port):
    """Opens a connection and keeps it. Its number, or None."""
    connection = socket.socket()
    connection.settimeout(5)
    try:
        connection.connect((address, port))
        if not connection.recv(200):
            return None
    except OSError:
        return None
    dialled.append(connection)
    return len(dialled) - 1


def echoes(number):
    """Whether what is said on it comes back."""
    text = os.urandom(8).hex().encode()
    dialled[number].settimeout(2)
    try:
        dialled[number].sendall(text)
        return dialled[number].recv(200) == text
    except OSError:
        return False


def report():
    with lock:
        return {"counts": dict(counts), "clients": dict(clients), "questions": list(questions), "packets": dict(packets)}


def reset():
    with lock:
        for table in (counts, clients, questions, packets):
            table.clear()


def listen(address, port):
    """At an address that was not there before."""
    serve_tcp(address, port)
    serve_udp(address, port)


def keep_file(path):
    seen = -1
    while True:
        if version[0] != seen:
            seen = version[0]
            with open(path + ".new", "w") as file:
                json.dump(report(), file)
            os.rename(path + ".new", path)
        time.sleep(0.1)


def main():
    wanted = json.loads(sys.stdin.readline())
    for address, port in wanted.get("tcp", []):
        serve_tcp(address, port)
    for address, port in wanted.get("udp", []):
        serve_udp(address, port)
    for address, port in wanted.get("dns", []):
        serve_dns(address, port, wanted["zones"])
    if wanted.get("watch"):
        watch()
    if "stats" in wanted:
        keep_file(wanted["stats"])
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        command, *parts = json.loads(line)
        answer = {"report": report, "reset": reset, "listen": listen, "dial": dial, "echoes": echoes}[command](*parts)
        print(json.dumps(answer), flush=True)


main()
