"""Addresses without their credentials, and file names as printable text."""

from __future__ import annotations

import re

MASK = "***"
_INVISIBLE = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode categories: control and format characters, line and paragraph separators."""
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Half characters, which JSON can hold; the others stand for bytes of a file's name that are not UTF-8."""
_JOINERS = "\u200c\u200d"
_SCHEMES = (
    "rtsp", "rtsps", "rtspt", "rtspu", "http", "https", "httpproxy", "rtmp", "rtmps", "rtmpe", "rtmpt", "mqtt", "mqtts",
    "ftp", "ftps", "sftp", "srt", "udp", "tcp", "tls", "rtp", "srtp", "mms", "mmsh", "mmst", "hls", "onvif", "smb",
    "file", "ws", "wss",
)  # fmt: skip
_HOST = re.compile(
    r"(?:\d{1,3}(?:\.\d{1,3}){3}|(?!\d+\.\d)(?:[A-Za-z0-9_-]+\.)*[A-Za-z_][A-Za-z0-9_-]*\.?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?"
)
_AS_HOST = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?/")
_WORDS = """
aac action api audio av avc avi axis base bin bitrate bitstream bmp c cam camera cameras cgi ch chan channel channels
codec compression dms enable encode encoding feed first format fps frame framerate frames h height hd hevc high hls
http id image images img index input ipcam iphone jpeg jpg live livestream low m main media medium mjpeg mjpg mode
mono mov mp mpeg mpg multicast nph onvif original out output play playlist preview primary profile proto protocol psia
push quality rate real realmonitor res resolution rotation rtp rtsp sd sdp second secondary size snap snapshot sound
source srtp stereo still stream streaming streams sub substream subtype tcp test track trackid transport ts type u udp
unicast v vga video videoinput videos videostream view web webcam width x
"""
_HARMLESS = frozenset(_WORDS.split())
"""Words of cameras' addresses, in paths and as names and values of parameters, that are no secrets."""

_CONTROLS = """
absolute analogue auto automatic backlight balance blue brightness compensation continuous contrast digital dynamic
exposure flip focus format framerate frequency gain gamma hflip horizontal hue iris line manual mode pan power priority
rate raw red rotate saturation sharpness size temperature test pattern tilt time vertical vflip wb white zoom
"""
_CONTROL_WORDS = frozenset(_CONTROLS.split())
"""Words in the names of options and controls of local cameras."""
_LOCAL_CAMERA = re.compile(r"(?:picamera2(?::\d{1,2})?|(?:/dev/video)?\d{1,3})\?(.*)")
_CONTROL_VALUE = re.compile(
    r"auto|on|off|-?\d{0,7}\.?\d{1,6}(?:us|ms|s|min)?|\d{1,5}x\d{1,5}(?::\d\d)?|[\d.]{1,6},[\d.]{1,6}"
)
_PIXEL_FORMAT = re.compile(r"format=[A-Za-z]{0,4}\d{0,3}P?(?:-BE)?")


def redact_credentials(address: str) -> str:
    """Mask the parts of an address that are not known to be harmless.

    Return any other text unchanged.

    Every camera has its own way to put a password into its address: before the host, as a parameter of any name, in the
    path, or as the path. Only the scheme, the host, and a rest of words in `_HARMLESS` and short numbers are therefore
    kept. User names are masked too, as some cameras take a token for one. Where it is
    uncertain how an address is to be parsed (``@`` behind the host, a mistyped scheme), only its scheme is kept.
    """
    if address.startswith("watch:"):
        return "watch:" + redact_credentials(address.removeprefix("watch:"))
    local = _LOCAL_CAMERA.fullmatch(address)
    if local and all(map(_is_camera_option, local[1].split("&"))):
        return address
    match = re.fullmatch(r"(?is)([a-z][a-z0-9+.-]*)://([^/?#\\]*)(.*)", address)
    if not match:
        return _redact_text(address)
    scheme, authority, rest = match.groups()
    user, separator, host = authority.rpartition("@")
    if not _is_scheme(scheme):
        return MASK
    if "@" in rest or "@" in user or not _HOST.fullmatch(host):
        return f"{scheme}://{MASK}"
    shown = f"{scheme}://{MASK + separator if separator else ''}{host}"
    return shown + (rest if all(map(_is_harmless, re.split("[/?&#]", rest))) else f"/{MASK}")


def _redact_text(text: str) -> str:
    """Mask a text that is not a whole URL if it may have been meant as one."""
    scheme = re.match(r"(?i)\W*([a-z]+)([:;]|[/\\]{2}|/)", text)
    known = ""
    if scheme and (_is_scheme(scheme[1]) if scheme[2] != "/" else scheme[1].lower() in _SCHEMES):
        known = scheme[1]
    is_path = not known and not _AS_HOST.search(text) and "//" not in text and "\\\\" not in text
    if is_path and not re.search(r"[@?&=]|://|:(?!\d)", text):
        return text
    if is_path and re.match(r"~|\.{0,2}/", text) and not re.search(r"[@?&]", text):
        return "/".join(MASK if "=" in part or ":" in part else part for part in text.split("/"))
    return f"{known}:{MASK}" if known else MASK


def _is_scheme(word: str) -> bool:
    """Return whether a word is a scheme, or one that was mistyped."""
    import difflib  # needed for malformed addresses only

    return bool(difflib.get_close_matches(word.lower(), _SCHEMES, 1, 0.7))


def _is_harmless(part: str) -> bool:
    """Return whether a part consists of known words, sizes and short numbers.

    It is a part of a path, or a parameter.
    """
    pieces = re.split(r"[_.=-]", part)
    return len(re.findall(r"\d+", part)) <= 4 and all(_is_known(piece) for piece in pieces)


def _is_camera_option(part: str) -> bool:
    """Return whether a part is a local camera's option, such as ``exposure=20ms``.

    Such options hold no secret.
    """
    name, _, value = part.partition("=")
    is_value = _CONTROL_VALUE.fullmatch(value) or _PIXEL_FORMAT.fullmatch(part)
    return bool(is_value) and all(word in _CONTROL_WORDS for word in name.split("_"))


def _is_known(piece: str) -> bool:
    """Return whether a piece is a known word, a size, a line count or short number.

    Examples are ``stream1``, ``videoMain``, ``h264Preview``, ``640x480``, ``720p`` and ``101``.
    """
    match = re.fullmatch(r"(?:[hH]26[45])?([A-Za-z]*)\d{0,4}", piece)
    if not match:
        return bool(re.fullmatch(r"\d{1,4}(?:[xX]\d{1,4}|[pP])|[mM][pP]4[vV]?", piece))
    letters = match[1]
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", letters)
    return letters.lower() in _HARMLESS or all(len(word) > 1 and word.lower() in _HARMLESS for word in words)


def printable_name(name: str) -> str:
    """Return a file's name as one printable line.

    Control characters, line separators (U+2028), characters that turn or hide text (U+202E) and invalid UTF-8 are
    written as ``\\x1b`` or ``\\u202e``. The two joiners that scripts such as Persian need are kept.
    """
    if name.isascii() and name.isprintable():
        return name
    import unicodedata  # most names do without

    name = _LONE_SURROGATE.sub(lambda match: _escaped(match[0]), name)
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(_escaped(sign) if unicodedata.category(sign) in _INVISIBLE else sign for sign in text)


def _escaped(sign: str) -> str:
    code = ord(sign)
    if sign in _JOINERS:
        return sign
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def is_text(name: str) -> bool:
    """Return whether a name is UTF-8; OpenCV's video reader aborts on others."""
    return name == name.encode("utf-8", "replace").decode()


def is_host_name(host: str) -> bool:
    """Return whether a text is a host name: every label has 1 to 63 characters."""
    if host.isascii():  # Python's table of international names takes time to load
        *labels, last = host.split(".")
        return all(0 < len(label) < 64 for label in labels) and len(last) < 64
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
