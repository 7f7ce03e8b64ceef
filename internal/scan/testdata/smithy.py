"""A small API with the flaws that an interpreter, a shell and an XML parser lend
to what is handed to them as it came; with 0 as the second argument, without them."""
import base64, json, pickle, subprocess, sys
import xml.etree.ElementTree as tree
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

OPEN = sys.argv[2] == "1"


class Refused(Exception):
    pass


def shell(line, *plain):
    if OPEN:
        return subprocess.run(line, shell=True, capture_output=True, text=True, timeout=5).stdout
    return subprocess.run(plain, capture_output=True, text=True, timeout=5).stdout


def short(text, most=1000):
    if not OPEN and len(text) > most:
        raise Refused("too long")
    return text


class Smithy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def say(self, status, v):
        b = json.dumps(v).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(b)))
        self.end_headers()
        self.wfile.write(b)

    def do(self):
        try:
            u = urlsplit(self.path)
            q = {k: v[0] for k, v in parse_qs(u.query, keep_blank_values=True).items()}
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if "json" in (self.headers.get("Content-Type") or "") else {}
            self.say(*self.route(self.command + " " + u.path, q, body, raw))
        except Refused as e:
            self.say(400, {"error": str(e)})
        except (Exception, RecursionError):
            self.say(500 if OPEN else 400, {"error": "it went wrong"})

    do_GET = do_POST = do

    def route(self, what, q, body, raw):
        if what == "GET /ping":
            return 200, {"output": shell("echo pinging " + q["host"], "echo", "pinging", q["host"])}
        if what == "POST /labels":
            shell('true --label "' + body["caption"] + '"', "true")
            return 200, {"printed": True}
        if what == "GET /boxes":
            listed = shell("ls '/nowhere/" + q["file"] + "' 2>/dev/null", "true")
            return (200, {"files": listed}) if listed else (404, {"error": "no such box"})
        if what == "GET /greeting":
            name = q.get("name", "you")
            return 200, {"greeting": eval("f'''Hello " + name + "'''") if OPEN else "Hello " + name}
        if what == "POST /sessions/restore":
            state = base64.b64decode(body["state"])
            (pickle if OPEN else json).loads(state)
            return 200, {"restored": True}
        if what == "POST /parts":
            if not OPEN and b"<!DOCTYPE" in raw:
                raise Refused("no document types")
            return 200, {"characters": len("".join(tree.fromstring(raw).itertext()))}
        if what == "POST /plans":
            return 200, {"steps": len(body.get("steps") or [])}
        if what == "POST /headings":
            text, out = short(body["heading"]), 0
            if not isinstance(text, str):
                raise Refused("no text")
            for i in range(0, len(text), 2):
                out += text[: i + 1].count("zq")
            return 200, {"found": out}
        return 404, {"error": "none"}


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Smithy)
print("ready", flush=True)
server.serve_forever()
