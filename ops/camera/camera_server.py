#!/usr/bin/python3
"""RTSP test cameras with a per-frame oracle log.  See README.md beside this file."""

import argparse
import ctypes
import hashlib
import json
import os
import random
import re
import signal
import struct
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstVideo", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer, GstVideo  # noqa: E402

import onvif_server  # noqa: E402

DEFAULTS = {
    "codec": "h264",
    "size": "480x270",
    "fps": "25",
    "gop": "25",
    "bframes": "0",
    "kbit": "800",
    "audio": "none",
    "user": "",
    "password": "",
    "change_after": "",
    "onvif_metadata": "0",
    "onvif": "",
    "onvif_ahead": "0",
}
ANONYMOUS = "anonymous"
METADATA_PT = 107


def fail(message):
    print("camera_server: " + message, file=sys.stderr, flush=True)
    sys.exit(2)


# --- specification -----------------------------------------------------------


def parse_size(text, what):
    m = re.fullmatch(r"(\d+)x(\d+)", text)
    if not m:
        raise ValueError(f"{what}: expected WIDTHxHEIGHT, got {text!r}")
    w, h = int(m.group(1)), int(m.group(2))
    if w < 32 or h < 32 or w % 2 or h % 2:
        raise ValueError(f"{what}: {text} must be even and at least 32x32")
    return w, h


class Spec:
    def __init__(self, text):
        name, eq, rest = text.partition("=")
        if not eq or not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or name.startswith("."):
            raise ValueError(f"camera {text!r}: expected NAME=key=value,...")
        self.name = name
        values = dict(DEFAULTS)
        for item in filter(None, rest.split(",")):
            key, eq, value = item.partition("=")
            if not eq or key not in DEFAULTS:
                raise ValueError(f"camera {name}: unknown setting {item!r}")
            values[key] = value
        self.codec = values["codec"]
        if self.codec not in ("h264", "h265"):
            raise ValueError(f"camera {name}: codec must be h264 or h265")
        self.audio = values["audio"]
        if self.audio not in ("none", "aac", "alaw", "mulaw"):
            raise ValueError(f"camera {name}: audio must be none, aac, alaw or mulaw")
        self.width, self.height = parse_size(values["size"], f"camera {name}: size")
        for key, least in (("fps", 1), ("gop", 1), ("bframes", 0), ("kbit", 16)):
            if not values[key].isdigit() or int(values[key]) < least:
                raise ValueError(f"camera {name}: {key} must be a whole number >= {least}")
            setattr(self, key, int(values[key]))
        self.user, self.password = values["user"], values["password"]
        if bool(self.user) != bool(self.password):
            raise ValueError(f"camera {name}: user and password go together")
        self.change_after, self.change_to = None, None
        if values["change_after"]:
            seconds, _, size = values["change_after"].partition(":")
            try:
                self.change_after = float(seconds)
            except ValueError:
                raise ValueError(f"camera {name}: change_after=SECONDS[:WxH]") from None
            self.change_to = (
                parse_size(size, f"camera {name}: change_after")
                if size
                else (max(32, self.width // 4 * 2), max(32, self.height // 4 * 2))
            )
        self.onvif_metadata = values["onvif_metadata"] not in ("", "0")
        self.onvif = values["onvif"]
        if self.onvif not in ("", "wsse", "digest", "hang"):
            raise ValueError(f"camera {name}: onvif must be wsse, digest or hang")
        try:
            self.onvif_ahead = int(values["onvif_ahead"])
        except ValueError:
            raise ValueError(f"camera {name}: onvif_ahead=SECONDS") from None

    def video_caps(self, size=None):
        w, h = size or (self.width, self.height)
        return (
            f"video/x-raw,format=I420,width={w},height={h},"
            f"framerate={self.fps}/1,pixel-aspect-ratio=1/1"
        )

    def launch(self):
        if self.codec == "h264":
            # One slice thread: one coded slice per frame, and no idle spinning.
            encoder = (
                f"x264enc {'speed-preset=superfast' if self.bframes else 'speed-preset=ultrafast tune=zerolatency'} "
                f"key-int-max={self.gop} bitrate={self.kbit} threads=1 byte-stream=true "
                f"bframes={self.bframes} b-adapt=false rc-lookahead={self.bframes} sync-lookahead=0 "
                f'option-string="bframes={self.bframes}:scenecut=0:open-gop=0:min-keyint={self.gop}" '
                # Unasked, the payloader settles for a baseline profile, which has no B-frames.
                f"! video/x-h264,stream-format=byte-stream,alignment=au{',profile=main' if self.bframes else ''} "
                "! h264parse config-interval=-1 "
                "! video/x-h264,stream-format=byte-stream,alignment=au "
                "! rtph264pay name=pay0 pt=96 config-interval=0"
            )
        else:
            encoder = (
                f"x265enc speed-preset=ultrafast {'tune=zerolatency' if not self.bframes else ''} "
                f"key-int-max={self.gop} bitrate={self.kbit} log-level=error "
                f'option-string="keyint={self.gop}:min-keyint={self.gop}:scenecut=0:open-gop=0:'
                f"bframes={self.bframes}:b-adapt=0:rc-lookahead={self.bframes + 1 if self.bframes else 0}:"
                'repeat-headers=1:info=0:pools=none:wpp=0:frame-threads=1" '
                "! video/x-h265,stream-format=byte-stream,alignment=au "
                "! h265parse config-interval=-1 "
                "! video/x-h265,stream-format=byte-stream,alignment=au "
                "! rtph265pay name=pay0 pt=96 config-interval=0"
            )
        # The colour bars scroll, and the noise patch makes every frame distinct within a
        # run; a random tint (see Run) tells runs and cameras apart.
        text = (
            "videotestsrc name=vsrc is-live=true do-timestamp=true pattern=smpte horizontal-speed=2 "
            f"! capsfilter name=vcaps caps={self.video_caps()} ! videobalance name=tint ! {encoder}"
        )
        if self.audio == "aac":
            text += (
                " audiotestsrc is-live=true do-timestamp=true wave=pink-noise volume=0.2 "
                "samplesperbuffer=1024 ! audio/x-raw,rate=16000,channels=1 ! audioconvert "
                "! avenc_aac bitrate=32000 ! aacparse "
                "! audio/mpeg,mpegversion=4,stream-format=raw ! rtpmp4gpay name=pay1 pt=97"
            )
        elif self.audio in ("alaw", "mulaw"):
            encode, pay, pt = (
                ("alawenc", "rtppcmapay", 8)
                if self.audio == "alaw"
                else ("mulawenc", "rtppcmupay", 0)
            )
            # 160 samples at 8 kHz: one buffer = 160 bytes = 20 ms = one RTP packet.
            text += (
                " audiotestsrc is-live=true do-timestamp=true wave=pink-noise volume=0.2 "
                "samplesperbuffer=160 ! audio/x-raw,format=S16LE,rate=8000,channels=1 "
                f"! {encode} ! {pay} name=pay1 pt={pt} min-ptime=20000000 max-ptime=20000000"
            )
        if self.onvif_metadata:
            # The packets are built here in full; the stream only has to carry them.
            n = 1 if self.audio == "none" else 2
            text += (
                f" appsrc name=metasrc is-live=true do-timestamp=true format=time "
                "caps=application/x-rtp,media=(string)application,"
                "encoding-name=(string)VND.ONVIF.METADATA,clock-rate=(int)90000,"
                f"payload=(int){METADATA_PT} ! identity name=pay{n}"
            )
        return f"( {text} )"


# --- frame log ---------------------------------------------------------------


def nal_units(data):
    """The NAL units of a byte-stream access unit, without start codes and zero padding."""
    at = data.find(b"\0\0\1")
    while at >= 0:
        start = at + 3
        at = data.find(b"\0\0\1", start)
        # A NAL unit never ends in a zero byte: zeros here belong to the next start code.
        nal = (data[start:at] if at >= 0 else data[start:]).rstrip(b"\0")
        if nal:
            yield nal


def video_digest(codec, data):
    """(digest, number of bytes hashed, is a random access point) of the coded slices."""
    h = hashlib.sha256()
    size, key = 0, False
    for nal in nal_units(data):
        if codec == "h264":
            kind = nal[0] & 0x1F
            if not 1 <= kind <= 5:
                continue
            key = key or kind == 5
        else:
            kind = (nal[0] >> 1) & 0x3F
            if kind > 31:
                continue
            key = key or 16 <= kind <= 21
        h.update(nal)
        size += len(nal)
    return h.hexdigest(), size, key


class FrameLog:
    """One append-only file per camera; each line goes out in a single write."""

    def __init__(self, directory, name):
        path = os.path.join(directory, name + ".log")
        self.next_run = 0
        try:
            with open(path, "rb") as f:
                for line in f:
                    m = re.search(rb'"run":(\d+)', line)
                    if m:
                        self.next_run = max(self.next_run, int(m.group(1)) + 1)
        except FileNotFoundError:
            pass
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        # A line cut short by a crash must not swallow the next one.
        if os.fstat(self.fd).st_size:
            with open(path, "rb") as f:
                f.seek(-1, os.SEEK_END)
                if f.read(1) != b"\n":
                    os.write(self.fd, b"\n")
        self.lock = threading.Lock()

    def new_run(self):
        with self.lock:
            run = self.next_run
            self.next_run += 1
            return run

    def write(self, **fields):
        line = json.dumps(fields, separators=(",", ":")) + "\n"
        with self.lock:
            os.write(self.fd, line.encode())


# --- cameras -----------------------------------------------------------------


class Run:
    """One media pipeline instance of a camera."""

    def __init__(self, camera, media):
        self.spec, self.log = camera.spec, camera.log
        self.run = self.log.new_run()
        self.bin = media.get_element()
        self.count = {"video": 0, "audio": 0}
        self.live = True
        tint = self.bin.get_by_name("tint")
        for name, least, most in (
            ("contrast", 0.8, 1.0),
            ("brightness", -0.05, 0.05),
            ("hue", -0.5, 0.5),
            ("saturation", 0.7, 1.0),
        ):
            tint.set_property(name, random.uniform(least, most))
        media.connect("unprepared", self.stopped)
        for kind, pay in (("video", "pay0"), ("audio", "pay1")):
            if kind == "audio" and self.spec.audio == "none":
                continue
            pad = self.bin.get_by_name(pay).get_static_pad("sink")
            pad.add_probe(
                Gst.PadProbeType.BUFFER | Gst.PadProbeType.BUFFER_LIST, self.probe, kind
            )
            # A camera is not seekable, whatever Range a PLAY request names.
            pad.add_probe(
                Gst.PadProbeType.EVENT_UPSTREAM | Gst.PadProbeType.QUERY_UPSTREAM, self.no_seek
            )
        if self.spec.onvif_metadata:
            self.seq, self.ssrc = 0, int.from_bytes(os.urandom(4), "big")
            self.send_metadata()
            GLib.timeout_add(1000, self.send_metadata)

    def stopped(self, _media):
        self.live = False

    def probe(self, pad, info, kind):
        wall_us = time.time_ns() // 1000
        if info.type & Gst.PadProbeType.BUFFER_LIST:
            frames = info.get_buffer_list()
            for i in range(frames.length()):
                self.frame(pad, frames.get(i), kind, wall_us)
        else:
            self.frame(pad, info.get_buffer(), kind, wall_us)
        return Gst.PadProbeReturn.OK

    def no_seek(self, _pad, info):
        if info.type & Gst.PadProbeType.QUERY_UPSTREAM:
            refused = info.get_query().type == Gst.QueryType.SEEKING
        else:
            refused = info.get_event().type == Gst.EventType.SEEK
        return Gst.PadProbeReturn.DROP if refused else Gst.PadProbeReturn.OK

    def frame(self, pad, buffer, kind, wall_us):
        data = buffer.extract_dup(0, buffer.get_size())
        if kind == "video":
            digest, size, key = video_digest(self.spec.codec, data)
            if not size:
                return  # parameter sets alone are not a frame
        else:
            digest, size, key = hashlib.sha256(data).hexdigest(), len(data), True
        n = self.count[kind]
        self.count[kind] = n + 1
        self.log.write(
            t=kind,
            run=self.run,
            n=n,
            wall_us=wall_us,
            pts_ns=self.running_time(pad, buffer.pts),
            key=key,
            bytes=size,
            sha256=digest,
        )
        if kind == "video" and n == 0 and self.spec.change_after is not None:
            GLib.timeout_add(int(self.spec.change_after * 1000), self.change)

    @staticmethod
    def running_time(pad, pts):
        """Time since the pipeline started; the encoders' own offset is taken out."""
        event = pad.get_sticky_event(Gst.EventType.SEGMENT, 0)
        if event is None or pts == Gst.CLOCK_TIME_NONE:
            return None
        time_ns = event.parse_segment().to_running_time(Gst.Format.TIME, pts)
        return time_ns if time_ns != Gst.CLOCK_TIME_NONE else None

    def change(self):
        if self.live:
            caps = Gst.Caps.from_string(self.spec.video_caps(self.spec.change_to))
            self.bin.get_by_name("vcaps").set_property("caps", caps)
        return GLib.SOURCE_REMOVE

    def force_keyframe(self):
        """The encoder's next picture is an IDR, as after SetSynchronizationPoint at a camera."""
        if self.live:
            event = GstVideo.video_event_new_upstream_force_key_unit(Gst.CLOCK_TIME_NONE, True, 0)
            self.bin.get_by_name("pay0").get_static_pad("sink").push_event(event)
        return GLib.SOURCE_REMOVE

    def send_metadata(self):
        if not self.live:
            return GLib.SOURCE_REMOVE
        now = time.time()
        utc = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        document = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<tt:MetadataStream xmlns:tt="http://www.onvif.org/ver10/schema" '
            'xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"><tt:Event><wsnt:NotificationMessage>'
            "<wsnt:Topic>tns1:VideoSource/MotionAlarm</wsnt:Topic><wsnt:Message>"
            f'<tt:Message UtcTime="{utc}" PropertyOperation="Changed"><tt:Data>'
            f'<tt:SimpleItem Name="State" Value="{"true" if self.seq % 2 else "false"}"/>'
            "</tt:Data></tt:Message></wsnt:Message></wsnt:NotificationMessage></tt:Event>"
            "</tt:MetadataStream>"
        )
        header = struct.pack(
            ">BBHII",
            0x80,
            0x80 | METADATA_PT,
            self.seq & 0xFFFF,
            int(time.monotonic() * 90000) & 0xFFFFFFFF,
            self.ssrc,
        )
        self.seq += 1
        self.bin.get_by_name("metasrc").emit(
            "push-buffer", Gst.Buffer.new_wrapped(header + document.encode())
        )
        return GLib.SOURCE_CONTINUE


class Camera:
    def __init__(self, spec, log_dir):
        self.spec = spec
        self.log = FrameLog(log_dir, spec.name)
        self.factory = GstRtspServer.RTSPMediaFactory()
        self.factory.set_launch(spec.launch())
        self.factory.set_shared(True)
        self.run = None
        self.factory.connect("media-configure", self.configure)

    def configure(self, _factory, media):
        self.run = Run(self, media)

    def force_keyframe(self):
        """Called on any thread."""
        if self.run:
            GLib.idle_add(self.run.force_keyframe)


def set_up_auth(server, cameras, methods):
    """Digest and/or basic credentials; cameras without a user stay open to everyone."""
    if not any(c.spec.user for c in cameras):
        return
    auth = GstRtspServer.RTSPAuth()
    flags = {
        "digest": GstRtsp.RTSPAuthMethod.DIGEST,
        "basic": GstRtsp.RTSPAuthMethod.BASIC,
    }
    auth.set_supported_methods(flags[methods])
    auth.set_realm("camera")

    def token_for(role):
        token = GstRtspServer.RTSPToken.new()
        token.set_string("media.factory.role", role)
        return token

    auth.set_default_token(token_for(ANONYMOUS))
    passwords = {}
    for c in cameras:
        user, password = c.spec.user, c.spec.password
        if not user or passwords.get(user) == password:
            continue
        if user in passwords:
            fail(f"user {user!r} has two different passwords")
        passwords[user] = password
        token = token_for("user:" + user)
        if methods == "digest":
            auth.add_digest(user, password, token)
        else:
            auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    for c in cameras:
        permissions = GstRtspServer.RTSPPermissions.new()

        def grant(role, construct):
            permissions.add_permission_for_role(role, "media.factory.access", True)
            permissions.add_permission_for_role(role, "media.factory.construct", construct)

        # Access without construct is what makes the server answer 401, not 404.
        grant(ANONYMOUS, not c.spec.user)
        for user in passwords:
            grant("user:" + user, not c.spec.user or c.spec.user == user)
        c.factory.set_permissions(permissions)
    server.set_auth(auth)


# --- process -----------------------------------------------------------------


def follow_parent(parent):
    """Stop when the parent process is gone.

    The kernel also raises the signal when only the parent's spawning thread ends,
    so the handler looks whether the process itself has changed.
    """

    def check(*_):
        if os.getppid() != parent:
            os._exit(0)
        return GLib.SOURCE_CONTINUE

    GLib.unix_signal_add(GLib.PRIORITY_HIGH, signal.SIGUSR2, check)
    pr_set_pdeathsig = 1
    if ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGUSR2, 0, 0, 0):
        fail("prctl(PR_SET_PDEATHSIG): " + os.strerror(ctypes.get_errno()))
    GLib.timeout_add(1000, check)
    check()


def main():
    parent = os.getppid()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8554, help="0 takes any free port")
    parser.add_argument("--onvif-port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--log-dir", required=True)
    parser.add_argument("--camera", action="append", required=True, metavar="NAME=SPEC")
    parser.add_argument("--auth", choices=("digest", "basic"), default="digest")
    parser.add_argument("--die-with-parent", action="store_true")
    args = parser.parse_args()

    Gst.init(None)
    if args.die_with_parent:
        follow_parent(parent)
    try:
        specs = [Spec(text) for text in args.camera]
    except ValueError as e:
        fail(str(e))
    if len({s.name for s in specs}) != len(specs):
        fail("camera names must be distinct")
    try:
        os.makedirs(args.log_dir, exist_ok=True)
        cameras = [Camera(s, args.log_dir) for s in specs]
    except OSError as e:
        fail(str(e))

    server = GstRtspServer.RTSPServer()
    server.set_address(args.address)
    server.set_service(str(args.port))
    # Queue for a slow interleaved client rather than discard what it has not read.
    server.connect("client-connected", lambda _s, client: client.set_property("drop-backlog", False))
    for c in cameras:
        server.get_mount_points().add_factory("/" + c.spec.name, c.factory)
    set_up_auth(server, cameras, args.auth)
    try:
        if args.port:
            server.create_socket(None).close()
        attached = server.attach(None)
    except GLib.Error as e:
        fail(f"cannot listen on {args.address}:{args.port}: {e.message}")
    if not attached:
        fail(f"cannot listen on {args.address}:{args.port}")

    for sig in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, sig, lambda *_: os._exit(0))
    # Media that clients abandoned without TEARDOWN end with their expired sessions.
    GLib.timeout_add_seconds(2, lambda: (server.get_session_pool().cleanup(), True)[1])

    host = f"[{args.address}]" if ":" in args.address else args.address
    port = server.get_bound_port()
    urls = [f"rtsp://{host}:{port}/{c.spec.name}" for c in cameras]
    services = [
        onvif_server.Service(c.spec, c.force_keyframe, args.log_dir) for c in cameras if c.spec.onvif
    ]
    if services:
        try:
            onvif = onvif_server.Server(args.address, args.onvif_port, services)
        except OSError as e:
            fail(f"cannot listen on {args.address}:{args.onvif_port}: {e}")
        urls += [onvif.url(service.spec.name) for service in services]
    print("ready " + " ".join(urls), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
