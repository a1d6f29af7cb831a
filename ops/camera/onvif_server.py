"""The little of ONVIF that recorders ask of a camera: its clock, where its Media service is, its profiles, and a
keyframe now (SetSynchronizationPoint).  See README.md beside this file."""

import base64
import calendar
import hashlib
import hmac
import http.server
import json
import os
import re
import secrets
import socket
import threading
import time

REALM = "camera"
DEVICE, MEDIA = "onvif/device_service", "onvif/media_service"
# What a real camera forgives between its clock and the one of whoever logs in.
SKEW_S = 5


def envelope(body):
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://www.w3.org/2003/05/soap-envelope" '
        'xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl" '
        'xmlns:ter="http://www.onvif.org/ver10/error" xmlns:tt="http://www.onvif.org/ver10/schema">'
        f"<SOAP-ENV:Body>{body}</SOAP-ENV:Body></SOAP-ENV:Envelope>"
    ).encode()


def fault(code, reason):
    return envelope(
        "<SOAP-ENV:Fault><SOAP-ENV:Code><SOAP-ENV:Value>SOAP-ENV:Sender</SOAP-ENV:Value><SOAP-ENV:Subcode>"
        f"<SOAP-ENV:Value>ter:{code}</SOAP-ENV:Value></SOAP-ENV:Subcode></SOAP-ENV:Code><SOAP-ENV:Reason>"
        f'<SOAP-ENV:Text xml:lang="en">{reason}</SOAP-ENV:Text></SOAP-ENV:Reason></SOAP-ENV:Fault>'
    )


def element(text, name):
    """The content of the first element of that local name."""
    found = re.search(rf"<(?:\w+:)?{name}[\s>][^<]*", text)
    return found.group(0).split(">", 1)[1].strip() if found else None


class Service:
    """One camera's."""

    def __init__(self, spec, force_keyframe, log_dir):
        self.spec, self.force_keyframe = spec, force_keyframe
        self.path = os.path.join(log_dir, spec.name + ".onvif.log")
        self.lock = threading.Lock()
        self.used = set()
        self.nonces = set()
        self.token = "profile_1"

    def now(self):
        return time.time() + self.spec.onvif_ahead

    def log(self, **fields):
        with self.lock, open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(dict(fields, wall_us=time.time_ns() // 1000)) + "\n")

    def wsse(self, text):
        """A WS-UsernameToken with a password digest, of now, and never seen before."""
        if element(text, "Username") != self.spec.user:
            return False
        nonce, created = element(text, "Nonce"), element(text, "Created")
        digest, kind = element(text, "Password"), re.search(r'Password Type="([^"]*)"', text)
        if not nonce or not created or not digest or not kind or not kind[1].endswith("#PasswordDigest"):
            return False
        at = calendar.timegm(time.strptime(created.split(".")[0].rstrip("Z"), "%Y-%m-%dT%H:%M:%S"))
        raw = base64.b64decode(nonce, validate=True)
        want = hashlib.sha1(raw + created.encode() + self.spec.password.encode()).digest()
        fresh = abs(at - self.now()) <= SKEW_S and raw not in self.used
        self.used.add(raw)
        return fresh and hmac.compare_digest(want, base64.b64decode(digest))

    def http_digest(self, header, path):
        """RFC 2617, MD5, qop=auth; a nonce serves one request."""
        if not header.startswith("Digest "):
            return False
        given = dict((k, q or p) for k, q, p in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', header))
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()  # noqa: E731
        nonce = given.get("nonce")
        if nonce not in self.nonces or given.get("username") != self.spec.user or given.get("uri") != path:
            return False
        self.nonces.discard(nonce)
        first = md5(f"{self.spec.user}:{REALM}:{self.spec.password}")
        parts = (first, nonce, given.get("nc", ""), given.get("cnonce", ""), "auth", md5(f"POST:{path}"))
        return hmac.compare_digest(md5(":".join(parts)), given.get("response", ""))

    def challenge(self):
        nonce = secrets.token_hex(8)
        self.nonces.add(nonce)
        return f'Digest realm="{REALM}", qop="auth", nonce="{nonce}", algorithm=MD5'

    def answer(self, address, path, body):
        """(HTTP status, body) of what needs a log-in."""
        if "GetCapabilities" in body:
            # Behind an address translation cameras tell addresses that nobody else can reach.
            media = f"<tt:Media><tt:XAddr>http://192.0.2.1:81/{self.spec.name}/{MEDIA}</tt:XAddr></tt:Media>"
            return 200, envelope(
                f"<tds:GetCapabilitiesResponse><tds:Capabilities>{media}</tds:Capabilities>"
                "</tds:GetCapabilitiesResponse>"
            )
        if not path.endswith(MEDIA):
            return 400, fault("ActionNotSupported", "not at this service")
        if "GetProfiles" in body:
            encoder = '<tt:VideoEncoderConfiguration token="encoder_1"><tt:Name>e</tt:Name></tt:VideoEncoderConfiguration>'
            profiles = (
                '<trt:Profiles token="sound_only" fixed="true"><tt:Name>sound</tt:Name></trt:Profiles>'
                f'<trt:Profiles fixed="true" token="{self.token}"><tt:Name>main</tt:Name>{encoder}</trt:Profiles>'
                f'<trt:Profiles token="copy"><tt:Name>again</tt:Name>{encoder}</trt:Profiles>'
            )
            return 200, envelope(f"<trt:GetProfilesResponse>{profiles}</trt:GetProfilesResponse>")
        if "SetSynchronizationPoint" in body:
            if element(body, "ProfileToken") != self.token:
                return 400, fault("NoProfile", "no such profile")
            self.force_keyframe()
            return 200, envelope("<trt:SetSynchronizationPointResponse/>")
        return 400, fault("ActionNotSupported", "unknown")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        service = self.server.services.get(self.path.strip("/").split("/", 1)[0])
        if service is None:
            return self.say(404, b"")
        found = re.search(r"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)", body)
        asked = found[1] if found else None
        if service.spec.onvif == "hang":
            service.log(asked=asked, status=None)
            time.sleep(3600)
        if asked == "GetSystemDateAndTime":
            service.log(asked=asked, status=200)
            return self.say(200, self.clock(service.now()))
        if service.spec.user:
            how = service.spec.onvif
            authorization = self.headers.get("Authorization", "")
            if how == "digest" and not service.http_digest(authorization, self.path):
                service.log(asked=asked, status=401)
                return self.say(401, b"", {"WWW-Authenticate": service.challenge()})
            if how == "wsse" and not service.wsse(body):
                service.log(asked=asked, status=400)
                return self.say(400, fault("NotAuthorized", "sender not authorized"))
        status, answer = service.answer(self.client_address, self.path, body)
        service.log(asked=asked, status=status)
        self.say(status, answer)

    @staticmethod
    def clock(now):
        t = time.gmtime(now)
        return envelope(
            "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>Manual</tt:DateTimeType>"
            f"<tt:UTCDateTime><tt:Time><tt:Hour>{t.tm_hour}</tt:Hour><tt:Minute>{t.tm_min}</tt:Minute>"
            f"<tt:Second>{t.tm_sec}</tt:Second></tt:Time><tt:Date><tt:Year>{t.tm_year}</tt:Year>"
            f"<tt:Month>{t.tm_mon}</tt:Month><tt:Day>{t.tm_mday}</tt:Day></tt:Date></tt:UTCDateTime>"
            "</tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
        )

    def say(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, port, services):
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        super().__init__((address, port), Handler)
        self.services = {service.spec.name: service for service in services}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, name):
        host, port = self.server_address[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/{name}/{DEVICE}"
