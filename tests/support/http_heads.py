"""
Heads of HTTP requests, well formed and not, by families: `heads()` gives (name, bytes) for each. Behind each
comes a second request, which tells where a reader takes the first to end, and which asks to close.
"""

CRLF = b"\r\n"
HOST = b"Host: tracker.example"
HIDDEN = b"GET /hidden HTTP/1.1\r\n" + HOST + CRLF + CRLF
SECOND = b"GET /second HTTP/1.1\r\n" + HOST + b"\r\nConnection: close\r\n\r\n"
CONTROLS = [*range(0x20), 0x7F]
HIGH = [0x80, 0xA0, 0xC3, 0xFF]
TOKEN_MARKS = b"!#$%&'*+-.^_`|~"
OTHER_MARKS = b"\"(),/:;<=>?@[\\]{}"


def head(line=b"GET /announce HTTP/1.1", *fields, host=HOST):
    return CRLF.join([line, *([host] if host else []), *fields]) + CRLF + CRLF


def label(text):
    text = repr(bytes(text))[2:-1]
    return text if len(text) <= 40 else f"{text[:20]}...({len(text)})"


def methods():
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PATCH", b"PROPFIND", b"M-SEARCH",
                   b"SOURCE", b"DESCRIBE", b"QUERY", b"get", b"Get", b"G", b"GETT", b"G ET", b"", b"GET\t", b"A" * 64, b"A" * 10000,
                   *(b"GE" + bytes([c]) + b"T" for c in (*TOKEN_MARKS, *OTHER_MARKS, *HIGH))):
        yield label(method), head(method + b" /announce HTTP/1.1")


def spaces():
    for line in (b"GET  /announce HTTP/1.1", b"GET /announce  HTTP/1.1", b"GET\t/announce\tHTTP/1.1", b"GET\x0b/announce HTTP/1.1",
                 b"GET /announce\x0cHTTP/1.1", b"GET\xa0/announce HTTP/1.1", b" GET /announce HTTP/1.1", b"\tGET /announce HTTP/1.1",
                 b"GET /announce HTTP/1.1 ", b"GET /announce HTTP/1.1\t", b"GET/announce HTTP/1.1", b"GET /announceHTTP/1.1",
                 b"GET /announce", b"GET /announce ", b"GET ", b"GET", b"/announce HTTP/1.1", b"GET HTTP/1.1", b"GET  HTTP/1.1",
                 b"GET /announce GET /announce HTTP/1.1", b"GET /announce HTTP/1.1 HTTP/1.1", b"GET /announce HTTP/1.0 HTTP/1.1",
                 b"GET /announce, HTTP/1.1", b"GET /a nnounce HTTP/1.1", b"GET /announce\rHTTP/1.1", b"GET\r/announce HTTP/1.1",
                 b"GET /announce HTTP\r/1.1", b"GET /announce\nHTTP/1.1", b"GET \r\n/announce HTTP/1.1", b"GET /announce \r\nHTTP/1.1"):
        yield label(line), head(line)


def targets():
    for target in (b"/announce", b"/announce?", b"/announce?a=b&c", b"/announce??", b"/", b"//announce", b"//other.example/announce",
                   b"http://tracker.example/announce", b"HTTP://tracker.example/announce", b"https://tracker.example/announce",
                   b"http://other.example/announce", b"http://tracker.example:80/announce", b"http://tracker.example",
                   b"http://tracker.example?a=b", b"http:///announce", b"http://", b"http:/announce", b"http:announce",
                   b"http://user@tracker.example/announce", b"http://user:pass@tracker.example/announce", b"http://[::1]/announce",
                   b"http://[::1/announce", b"http://tracker.example:port/announce", b"http://tracker.example#x/announce",
                   b"http://tracker%2eexample/announce", b"http://tr<cker.example/announce", b"ftp://tracker.example/announce",
                   b"ws://tracker.example/announce", b"h2c://tracker.example/announce", b"*", b"**", b"tracker.example:80", b"announce",
                   b"?info_hash=x", b"#", b"/#", b"/announce#x", b"/announce?a#b", b"/%", b"/%4", b"/%zz", b"/%00", b"/%0d%0a", b"/%2f",
                   b"/announce?%", b"/announce?%00", b"/%61nnounce", b"/..", b"/../announce", b"/a/../announce", b"/./announce",
                   b"/%2e%2e/announce", b"/\\announce", b"\\announce", b"/announce\\", b"/announce?" + b"a" * 1000,
                   b"/announce?" + b"a" * 7000, b"/announce?" + b"a" * 31000, b"/announce?" + b"a" * 33000, b"/" + b"a" * 40000,
                   b"/" + b"/" * 1000, *(b"/announce?x" + bytes([c]) + b"y" for c in (*CONTROLS, *HIGH, *b"\"<>[]^`{|}"))):
        yield label(target), head(b"GET " + target + b" HTTP/1.1")


def versions():
    for version in (b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/9.9",
                    b"HTTP/11.1", b"HTTP/1.10", b"HTTP/1.11", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1", b"HTTP/",
                    b"HTTP", b"http/1.1", b"Http/1.1", b"HTTPS/1.1", b"HTP/1.1", b"XHTTP/1.1", b"HTTP/1,1", b"HTTP/1.1x", b"HTTP /1.1",
                    b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1. 1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.-1", b"HTTP/a.b", b"HTTP\\1.1",
                    b"HTTP//1.1", b"HTTP/1.1.1", b"RTSP/1.0", b"ICE/1.0", b"SIP/2.0", b"HTTP/4294967297.1", b"HTTP/1.4294967297"):
        yield label(version), head(b"GET /announce " + version)
        if version in (b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.1"):
            yield label(version) + " without Host", head(b"GET /announce " + version, host=None)


def line_ends():
    ends = (b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r\n")
    for first in ends:
        for middle in ends:
            for last in ends:
                name = ",".join(map(label, (first, middle, last)))
                yield name, b"GET /announce HTTP/1.1" + first + HOST + middle + b"X: y" + b"\r\n" + last
    for name, between in (("CR splits a header", b"X: a\rTransfer-Encoding: chunked"), ("CR splits a head", b"X: a\r\rGET /hidden HTTP/1.1"),
                          ("LF splits a header", b"X: a\nTransfer-Encoding: chunked"), ("CR before a name", b"\rX: a"),
                          ("CR in a name", b"X\rY: a"), ("CR after a colon", b"X:\ra"), ("CR CR LF in a value", b"X: a\r\r\n b"),
                          ("CR in a name's place", b"\r"), ("CR and Content-Length", b"X: a\rContent-Length: 5")):
        yield name, head(b"GET /announce HTTP/1.1", between)
    for before in (CRLF, CRLF * 2, CRLF * 10, CRLF * 1000, CRLF * 20000, b"\n", b"\n\n", b"\r", b" ", b" \r\n", b"\t\r\n", b"\0", b"\xef\xbb\xbf"):
        yield "before: " + label(before), before + head()


def cut():
    yield "within the request line", b"GET /ann"
    yield "after the request line", b"GET /announce HTTP/1.1\r\n"
    yield "within a field", b"GET /announce HTTP/1.1\r\nHost: tra"
    yield "before the empty line", b"GET /announce HTTP/1.1\r\n" + HOST + CRLF
    yield "within the empty line", b"GET /announce HTTP/1.1\r\n" + HOST + b"\r\n\r"
    yield "nothing but empty lines", CRLF * 3
    yield "nothing but LF", b"\n\n\n"
    yield "within a body", head(b"POST /announce HTTP/1.1", b"Content-Length: 6") + b"12345"
    yield "within a chunk", head(b"POST /announce HTTP/1.1", b"Transfer-Encoding: chunked") + b"6\r\n12345"
    yield "before the last chunk", head(b"POST /announce HTTP/1.1", b"Transfer-Encoding: chunked") + b"5\r\n12345\r\n"
    yield "within the trailers", head(b"POST /announce HTTP/1.1", b"Transfer-Encoding: chunked") + b"0\r\nX: y\r\n"


def hosts():
    yield "none", head(host=None)
    yield "none, absolute-form", head(b"GET http://tracker.example/announce HTTP/1.1", host=None)
    yield "two, the same", head(b"GET /announce HTTP/1.1", HOST)
    yield "two, others", head(b"GET /announce HTTP/1.1", b"Host: other.example")
    yield "two, 1.0", head(b"GET /announce HTTP/1.0", b"Host: other.example")
    yield "two, one empty", head(b"GET /announce HTTP/1.1", b"Host:")
    yield "two, one folded", head(b"GET /announce HTTP/1.1", b"X: y", b" Host: other.example")
    for value in (b"", b" ", b"\t", b"tracker.example ", b"\ttracker.example", b"TRACKER.EXAMPLE", b"tracker.example.", b".", b"..", b"a..b",
                  b"tracker.example:80", b"tracker.example:", b"tracker.example:port", b"tracker.example:99999", b"tracker.example:-1",
                  b"tracker.example:80:80", b"127.0.0.1", b"[::1]", b"[::1]:80", b"[::1", b"::1", b"[::1]x", b"[v1.x]", b"user@tracker.example",
                  b"user:pass@tracker.example", b"tracker.example/announce", b"http://tracker.example", b"tracker.example?x",
                  b"tracker.example#x", b"tracker.example, other.example", b"tracker.example other.example", b"tracker_example",
                  b"tracker%2eexample", b"tracker.example%00", b"*", b"-", b"tr<ck>er", b"tr\"cker", b"tr\\cker", b"tr{cker}", b"tr`cker",
                  b"tr|cker", b"tr^cker", b"a" * 300, b"a" * 5000, *(b"tr" + bytes([c]) + b"cker" for c in (*CONTROLS, *HIGH))):
        yield label(value), head(host=b"Host: " + value)


def names():
    for c in (*CONTROLS, *OTHER_MARKS, 0x20, *HIGH, *TOKEN_MARKS):
        yield "within: " + label([c]), head(b"GET /announce HTTP/1.1", b"X" + bytes([c]) + b"Y: z")
    for field in (b": x", b":", b"::", b"X", b"X ", b"X=y", b"X : y", b"X\t: y", b" X: y", b"\tX: y", b"X: y\r\n z", b"X: y\r\n\tz", b"X:\r\n y",
                  b"X: y\r\n ", b"X:y", b"X:", b"X: ", b"X::y", b"X: y: z", b"1: x", b"-: x", b"_: x", b"X_Y: z", b"\"X\": y", b"X\0: y", b"\0X: y",
                  b"A" * 1000 + b": x", b"A" * 20000 + b": x", b"A" * 33000 + b": x"):
        yield label(field), head(b"GET /announce HTTP/1.1", field)
    yield "first line folded", head(b"GET /announce HTTP/1.1\r\n X: y")
    yield "request line as a field", head(b"GET /announce HTTP/1.1", b"GET /hidden HTTP/1.1")
    for count in (50, 98, 99, 150, 1000, 5000):
        yield f"{count} fields", head(b"GET /announce HTTP/1.1", *(b"X%d: y" % i for i in range(count)))


def values():
    for c in (*CONTROLS, *HIGH):
        yield "within: " + label([c]), head(b"GET /announce HTTP/1.1", b"X: a" + bytes([c]) + b"b")
        yield "end: " + label([c]), head(b"GET /announce HTTP/1.1", b"X: a" + bytes([c]))
    for size in (1000, 8000, 31000, 33000, 60000):
        yield f"{size} bytes", head(b"GET /announce HTTP/1.1", b"X: " + b"a" * size)
        yield f"{size} spaces", head(b"GET /announce HTTP/1.1", b"X:" + b" " * size + b"a")
    for value in (b"100-continue", b"100-Continue", b"200-ok", b"", b"100-continue, x"):
        yield "Expect: " + label(value), head(b"POST /announce HTTP/1.1", b"Expect: " + value, b"Content-Length: 5") + b"12345"
        yield "Expect without a body: " + label(value), head(b"GET /announce HTTP/1.1", b"Expect: " + value)
    for value in (b"close", b"Close", b"keep-alive", b"close, keep-alive", b"keep-alive, close", b"", b",", b"clos", b"close\t", b"close;x",
                  b"upgrade", b"transfer-encoding", b"content-length", b"host", b"\"close\"", b"te, close", b"c\rlose"):
        for version in (b"HTTP/1.1", b"HTTP/1.0"):
            yield f"Connection: {label(value)} {label(version)}", head(b"GET /announce " + version, b"Connection: " + value)
    yield "two Connection", head(b"GET /announce HTTP/1.1", b"Connection: keep-alive", b"Connection: close")


def lengths():
    for value in (b"0", b"5", b"05", b"0" * 30 + b"5", b"5 ", b" 5", b"\t5", b"-5", b"+5", b"-0", b"0x5", b"5x", b"5.0", b"5e0", b"5;", b"5 5", b"", b"five",
                  b"5,5", b"5, 5", b"5,6", b"5,", b",5", b"5\x0b", b"5\x00", b"5\x0c", b"\x0b5", b"\xb25", b"5\xa0", b"5\r", b"4294967301",
                  b"18446744073709551616", b"18446744073709551621", b"9223372036854775808", b"9" * 100, b"4", b"6", b"65536", b"65537", b"\"5\"", b"5_0"):
        yield "Content-Length: " + label(value), head(b"POST /announce HTTP/1.1", b"Content-Length: " + value) + b"12345"
    for first, second in ((b"5", b"5"), (b"5", b"6"), (b"6", b"5"), (b"0", b"5"), (b"5", b"0"), (b"5", b"05"), (b"5", b""), (b"5", b"x")):
        yield f"Content-Length twice: {label(first)}, {label(second)}", head(
            b"POST /announce HTTP/1.1", b"Content-Length: " + first, b"X: y", b"Content-Length: " + second) + b"12345"
    for name in (b"content-length", b"CONTENT-LENGTH", b"Content-Length ", b"Content_Length", b"Content-Length\t", b" Content-Length", b"Content-Length\x0b",
                 b"\x0bContent-Length", b"Content Length", b"Content-Length\0"):
        yield "name " + label(name), head(b"POST /announce HTTP/1.1", b"X: y", name + b": 5") + b"12345"
    for method in (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE"):
        yield f"{method.decode()} with a length", head(method + b" /announce HTTP/1.1", b"Content-Length: 5") + b"12345"
        yield f"{method.decode()} without one", head(method + b" /announce HTTP/1.1")
    yield "a length, 1.0", head(b"POST /announce HTTP/1.0", b"Content-Length: 5") + b"12345"
    yield "a length, 1.0 kept", head(b"POST /announce HTTP/1.0", b"Content-Length: 5", b"Connection: keep-alive") + b"12345"
    yield "folded", head(b"POST /announce HTTP/1.1", b"Content-Length:\r\n 5") + b"12345"
    yield "after a bare CR", head(b"POST /announce HTTP/1.1", b"X: y\rContent-Length: 5") + b"12345"
    yield "after a bare LF", head(b"POST /announce HTTP/1.1", b"X: y\nContent-Length: 5") + b"12345"


CHUNKED = b"5\r\n12345\r\n0\r\n\r\n"


def codings():
    for value in (b"chunked", b"Chunked", b"CHUNKED", b"chunked ", b"\tchunked", b"chunked\t", b"chunked\x0b", b"\x0bchunked", b"\x0cchunked", b"\x00chunked",
                  b"chunked\x00", b"\x1cchunked", b"chunked\xa0", b"chunked,", b",chunked", b"chunked, chunked", b"identity", b"chunked, identity",
                  b"identity, chunked", b"gzip", b"gzip, chunked", b"chunked, gzip", b"deflate,chunked", b"x", b"xchunked", b"chunkedx", b"chunk", b"chunked;x=y",
                  b"\"chunked\"", b"'chunked'", b"chun ked", b"", b"cow, chunked", b"trailers", b"c\xc4\xa5unked", b"chunked\r", b"chunked\r\n ", b"\r\n chunked"):
        for name, more in (("", []), ("with a length, ", [b"Content-Length: 3"])):
            yield f"{name}Transfer-Encoding: {label(value)}", head(
                b"POST /announce HTTP/1.1", *more, b"Transfer-Encoding: " + value) + CHUNKED
    for first, second in ((b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked"), (b"gzip", b"chunked"), (b"x", b"chunked"),
                          (b"chunked", b"x"), (b"", b"chunked"), (b"chunked", b"")):
        yield f"twice: {label(first)}, {label(second)}", head(
            b"POST /announce HTTP/1.1", b"Transfer-Encoding: " + first, b"Transfer-Encoding: " + second) + CHUNKED
    for name in (b"transfer-encoding", b"TRANSFER-ENCODING", b"Transfer-Encoding ", b"Transfer_Encoding", b"Transfer-Encoding\t", b" Transfer-Encoding",
                 b"Transfer-Encoding\x0b", b"\x0bTransfer-Encoding", b"Transfer Encoding", b"X\rTransfer-Encoding", b"X: y\nTransfer-Encoding",
                 b"X: y\rTransfer-Encoding"):
        yield "name " + label(name), head(b"POST /announce HTTP/1.1", b"X: y", name + b": chunked") + CHUNKED
    for line in (b"POST /announce HTTP/1.0", b"GET /announce HTTP/1.0", b"GET /announce HTTP/1.1", b"HEAD /announce HTTP/1.1", b"CONNECT /announce HTTP/1.1"):
        yield label(line), head(line, b"Transfer-Encoding: chunked") + CHUNKED
        yield label(line) + ", a length before", head(line, b"Content-Length: 3", b"Transfer-Encoding: chunked") + CHUNKED
        yield label(line) + ", a length behind", head(line, b"Transfer-Encoding: chunked", b"Content-Length: 3") + CHUNKED
    yield "1.0, kept", head(b"POST /announce HTTP/1.0", b"Connection: keep-alive", b"Transfer-Encoding: chunked") + CHUNKED


def chunks():
    def chunked(body):
        return head(b"POST /announce HTTP/1.1", b"Transfer-Encoding: chunked") + body

    sizes = (b"5", b"05", b"0" * 15 + b"5", b"0" * 16 + b"5", b"0" * 40 + b"5", b"", b"-5", b"+5", b"0x5", b"5x", b"x5", b"5 ", b"5\t", b" 5", b"\t5", b"5.", b"5 5", b"5,5",
             b"5;", b"5;a", b"5;a=b", b"5;a=\"b\"", b"5;a=\"b;c\\\"\"", b"5; a=b", b"5 ;a=b", b"5;;;;", b"5;=", b"5;a=", b"5;a b", b"5;\x00", b"5;\x01", b"5;\x7f", b"5;\xff",
             b"5;a=\"", b"5;" + b"a" * 1000, b"5;" + b"a" * 10000, b"5\x0b", b"5\x00", b"\x005", b"5\r", b"5;a\rb", b"5;a\n0", b"10000000000000005", b"100000005",
             b"ffffffffffffffff", b"fffffffffffffff5", b"f" * 17, b"8000000000000005", b"4", b"6", b"A", b"g", b"5\xa0", b"\xef\xbc\x95")
    for size in sizes:
        yield "size " + label(size), chunked(size + b"\r\n12345\r\n0\r\n\r\n")
    for name, body in (
            ("two chunks", b"2\r\n12\r\n3\r\n345\r\n0\r\n\r\n"), ("hex sizes", b"a\r\n1234567890\r\nA\r\n1234567890\r\n0\r\n\r\n"),
            ("no last chunk", b"5\r\n12345\r\n"), ("LF after a size", b"5\n12345\r\n0\r\n\r\n"), ("LF after an extension", b"5;a\n12345\r\n0\r\n\r\n"),
            ("LF after data", b"5\r\n12345\n0\r\n\r\n"), ("LF after the last size", b"5\r\n12345\r\n0\n\r\n"), ("LF at the end", b"5\r\n12345\r\n0\r\n\n"),
            ("LF all over", b"5\n12345\n0\n\n"), ("CR after a size", b"5\r12345\r\n0\r\n\r\n"), ("CR after data", b"5\r\n12345\r0\r\n\r\n"),
            ("CR at the end", b"5\r\n12345\r\n0\r\n\r"), ("CR CR LF after a size", b"5\r\r\n12345\r\n0\r\n\r\n"), ("CR CR LF after data", b"5\r\n12345\r\r\n0\r\n\r\n"),
            ("CR CR LF at the end", b"5\r\n12345\r\n0\r\n\r\r\n"), ("LF CR after a size", b"5\n\r12345\r\n0\r\n\r\n"), ("nothing after data", b"5\r\n123450\r\n\r\n"),
            ("data too long", b"4\r\n12345\r\n0\r\n\r\n"), ("data too short", b"6\r\n12345\r\n0\r\n\r\n"), ("an empty line before a size", b"\r\n5\r\n12345\r\n0\r\n\r\n"),
            ("two last chunks", b"5\r\n12345\r\n0\r\n0\r\n\r\n"), ("zeros as the last size", b"5\r\n12345\r\n0000\r\n\r\n"), ("-0", b"5\r\n12345\r\n-0\r\n\r\n"),
            ("an extension of the last", b"5\r\n12345\r\n0;a=b\r\n\r\n"), ("many chunks", b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n"),
            ("extensions in many chunks", (b"1;" + b"a" * 200 + b"\r\nx\r\n") * 100 + b"0\r\n\r\n"), ("empty body", b"0\r\n\r\n"), ("no body", b"")):
        yield name, chunked(body)
    for trailer in (b"X: y\r\n", b"X: y\r\nZ: z\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: other.example\r\n", b"X: y\n", b"X: y\r",
                    b"X: y\rZ: z\r\n", b"X: y\nZ: z\r\n", b"X : y\r\n", b" X: y\r\n", b"X: y\r\n z\r\n", b"X\r\n", b": y\r\n", b"X: \x00\r\n", b"X: \x01\r\n", b"X: \x7f\r\n",
                    b"X: \xff\r\n", b"X\x00: y\r\n", b"X\x01: y\r\n", b"X(: y\r\n", b"\xff: y\r\n", b"X: y\r\r\n", b"X: " + b"y" * 1000 + CRLF,
                    b"X: " + b"y" * 40000 + CRLF, b"X: y\r\n" * 500, b"GET /third HTTP/1.1\r\nHost: tracker.example\r\n"):
        yield "trailer " + label(trailer), chunked(b"5\r\n12345\r\n0\r\n" + trailer + b"\r\n")


def smuggling():
    length = b"Content-Length: %d"
    te = b"Transfer-Encoding: chunked"
    body = b"0\r\n\r\n" + HIDDEN
    post = b"POST /announce HTTP/1.1"
    whole, four = length % len(body), length % 4
    yield "CL.TE", head(post, whole, te) + body
    yield "TE.CL", head(post, te, whole) + body
    yield "TE.CL, short", head(post, te, four) + b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"
    yield "CL.TE, short", head(post, four, te) + b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n"
    for value in (b"x", b"identity", b"xchunked", b"chunked\x0b", b"chunked\xa0", b"\x0bchunked", b"\"chunked\"", b"chunked, identity", b"cow"):
        yield "TE.TE " + label(value), head(post, whole, te, b"Transfer-encoding: " + value) + body
        yield "TE.TE first " + label(value), head(post, whole, b"Transfer-encoding: " + value, te) + body
        yield "CL.TE " + label(value), head(post, whole, b"Transfer-Encoding: " + value) + body
    for name in (b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding", b"X: y\rTransfer-Encoding", b"X: y\nTransfer-Encoding", b"Transfer-Encoding\0",
                 b"Transfer_Encoding", b"X\rTransfer-Encoding", b"Transfer-Encoding\r\n "):
        yield "CL.TE by " + label(name), head(post, whole, name + b": chunked") + body
    for name in (b"Content-Length ", b"Content-Length\t", b" Content-Length", b"X: y\rContent-Length", b"X: y\nContent-Length", b"Content_Length", b"Content-Length\0",
                 b"Content-Length\r\n "):
        yield "CL.0 by " + label(name), head(post, b"X: y", name + b": %d" % len(HIDDEN)) + HIDDEN
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
        yield f"{method.decode()} with a request as its body", head(method + b" /announce HTTP/1.1", length % len(HIDDEN)) + HIDDEN + HIDDEN
    yield "a shorter length", head(post, length % (len(HIDDEN) - 10)) + HIDDEN
    yield "a longer length", head(post, length % (len(HIDDEN) + 10)) + HIDDEN
    yield "two lengths", head(post, b"Content-Length: 0", length % len(HIDDEN)) + HIDDEN
    yield "a list of lengths", head(post, b"Content-Length: 0, %d" % len(HIDDEN)) + HIDDEN
    yield "a plus", head(post, b"Content-Length: +%d" % len(HIDDEN)) + HIDDEN
    yield "1.0 with CL.TE", head(b"POST /announce HTTP/1.0", b"Connection: keep-alive", whole, te) + body
    yield "Expect with a body", head(post, b"Expect: 100-continue", length % len(HIDDEN)) + HIDDEN + HIDDEN
    yield "Expect without a body", head(post, b"Expect: 100-continue") + HIDDEN
    yield "a request in an extension", head(post, te) + b"5;\n" + HIDDEN + b"\r\n12345\r\n0\r\n\r\n"
    yield "a request in a trailer", head(post, te) + b"0\r\n" + HIDDEN + b"\r\n"
    yield "a size that overflows to 0", head(post, te) + b"10000000000000000\r\n\r\n" + HIDDEN
    yield "hidden by an absolute-form", head(b"GET http://a/\r\nX:y HTTP/1.1") + HIDDEN
    yield "three in a row", head() + HIDDEN
    yield "garbage behind", head() + b"\0\1\2\3\r\n\r\n"
    yield "a body without framing", head(post) + b"12345" + HIDDEN


def others():
    settings = b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
    yield "PRI", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    yield "PRI, 1.1", head(b"PRI * HTTP/1.1")
    yield "h2c", head(b"GET /announce HTTP/1.1", b"Connection: Upgrade, HTTP2-Settings", settings)
    yield "h2c with a body", head(b"POST /announce HTTP/1.1", b"Connection: Upgrade", settings, b"Content-Length: 5") + b"12345"
    yield "websocket", head(b"GET /announce HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13",
                            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
    yield "Upgrade without Connection", head(b"GET /announce HTTP/1.1", b"Upgrade: h2c")
    yield "TLS", bytes.fromhex("16030100c8010000c40303") + b"\xaa" * 193
    yield "SSL 2", bytes.fromhex("802e0103010015000000100100800300800700c0") + b"\xaa" * 28
    yield "PROXY 1", b"PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n" + head()
    yield "PROXY 1 unknown", b"PROXY UNKNOWN\r\n" + head()
    yield "PROXY 2", bytes.fromhex("0d0a0d0a000d0a515549540a2111000cc0000201c000020204d20050") + head()
    yield "SSH", b"SSH-2.0-OpenSSH_9.2\r\n"
    yield "BitTorrent", b"\x13BitTorrent protocol" + b"\0" * 8 + b"\xaa" * 40
    yield "an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    yield "all zeros", b"\0" * 100
    yield "all ones", b"\xff" * 100
    yield "bencode", b"d8:intervali900ee\r\n\r\n"


FAMILIES = (methods, spaces, targets, versions, line_ends, cut, hosts, names, values, lengths, codings, chunks, smuggling, others)


def heads():
    """All of them, named `family: case`; no name twice."""
    seen = {}
    for family in FAMILIES:
        for name, request in family():
            full = f"{family.__name__}: {name}"
            assert full not in seen, full
            seen[full] = request if family is cut else request + SECOND
    return list(seen.items())
