"""The walk through a body finds what `json.loads` finds, in short steps and with little memory."""

import collections
import itertools
import json
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mooring.domain.webhooks import scanning
from mooring.domain.webhooks.events import BadPayload, Event, read
from mooring.domain.webhooks.parsing import parse
from mooring.domain.webhooks.scanning import DEEPEST, MOST_FIELDS, STEP, UNFIT, reduction

SHA, ZEROS = "6dcb09b5b57875f334f61aebed695e2e4193db5e", "0" * 40
PUSH = {
    "ref": "refs/heads/main",
    "before": ZEROS,
    "after": SHA,
    "repository": {"id": 1296269, "pushed_at": 1767225600},
    "installation": {"id": 4711},
    "sender": {"login": "octocat"},
}
WANTED: Mapping[str, tuple[str, ...]] = {
    "ref": (),
    "before": (),
    "after": (),
    "action": (),
    "repository": ("id", "pushed_at"),
    "installation": ("id",),
    "sender": ("login",),
}
EVENTS = ("push", "installation", "repository", "ping")


def body(**more: Any) -> bytes:
    return json.dumps({**PUSH, **more}).encode()


def reduce(body: bytes | bytearray) -> Mapping[str, Any]:
    """Go through a body at once."""
    steps = reduction(body)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Mapping[str, Any] = done.value
            return found


# --- the same by other means: everything built, and looked at afterwards ---


class Pairs(list[tuple[str, Any]]):
    """An object with all of its keys."""


def _refuse(_: str) -> None:
    raise BadPayload


def _depth(text: str) -> int:
    depth = deepest = 0
    letters = iter(text)
    inside = False
    for letter in letters:
        if inside and letter == "\\":
            next(letters, None)
        elif letter == '"':
            inside = not inside
        elif not inside:
            depth += (letter in "[{") - (letter in "]}")
            deepest = max(deepest, depth)
    return deepest


def _taken(pairs: Pairs, names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    for name, value in pairs:
        if name in names and name in taken:
            raise BadPayload
        if name in names:
            inner = isinstance(value, Pairs) and names[name]
            taken[name] = _taken(value, dict.fromkeys(inner, ())) if inner else value
    return taken


def _by_loads(body: bytes, event: str) -> Event | None:
    try:
        text = body.decode()
        found = json.loads(
            text,
            object_pairs_hook=Pairs,
            parse_constant=_refuse,
            parse_int=lambda digits: int(digits) if len(digits) <= 32 else 0.5,
        )
    except (ValueError, RecursionError):
        raise BadPayload from None
    if not isinstance(found, Pairs) or _depth(text) > DEEPEST:
        raise BadPayload
    return read(event, _taken(found, WANTED))


def _outcome(find: Any) -> Event | str | None:
    try:
        found: Event | None = find()
    except BadPayload:
        return "refused"
    return found


def _agree(body: bytes) -> None:
    for event in EVENTS:
        wanted = _outcome(lambda event=event: _by_loads(body, event))
        assert _outcome(lambda event=event: read(event, reduce(body))) == wanted, (event, body)
        at_once = _outcome(lambda event=event: read(event, parse(body)))
        assert at_once == wanted or (at_once == "refused" and _has_doubles(body)), (event, body)


def _has_doubles(body: bytes) -> bool:
    found: list[int] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.append(len(pairs) - len(dict(pairs)))

    json.loads(body, object_pairs_hook=note)
    return any(found)


GAPS = st.sampled_from(["", "", "", " ", "\n", "\t\r\n "])
NAMES = st.sampled_from([*WANTED, "id", "pushed_at", "login", "x", "commits", 'a"b', "\\", "ref\x00", "é", "k" * 300])
LITERALS = st.sampled_from(
    [
        *(
            "null",
            "true",
            "false",
            "0",
            "-0",
            "7",
            "1296269",
            "1e3",
            "-1.5E-7",
            "1767225600",
            "1E400",
            "9" * 16,
            "9" * 33,
        ),
        *("NaN", "-Infinity", "01", "1.", "+1", ".5", "-", "tru", "nulll", "'a'", "1e", "1 2", ""),
    ]
)
WORDS = st.sampled_from(
    [
        "refs/heads/main",
        SHA,
        ZEROS,
        "octocat",
        "",
        "x" * 400,
        "\ud800",
        "\u202e",
        "2026-01-01T00:00:00Z",
        "😀",
        '"',
        "\\",
    ]
)


@st.composite
def _string(draw: Any, words: Any = WORDS) -> str:
    word = draw(words)
    try:
        word.encode()
    except UnicodeEncodeError:
        return json.dumps(word)
    style = draw(st.integers(0, 2))
    if style == 2:
        return '"' + "".join(f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else letter for letter in word) + '"'
    return json.dumps(word, ensure_ascii=bool(style))


def _joined(opens: str, entries: Any, closes: str) -> Any:
    comma = st.tuples(GAPS, GAPS).map(",".join)
    return st.tuples(entries, comma, GAPS).map(
        lambda found: opens + found[2] + found[1].join(found[0]) + found[2] + closes
    )


def _fields(values: Any) -> Any:
    return st.lists(st.tuples(_string(NAMES), GAPS, values).map(lambda f: f"{f[0]}{f[1]}:{f[1]}{f[2]}"), max_size=6)


VALUES = st.recursive(
    st.one_of(_string(), LITERALS),
    lambda inner: st.one_of(_joined("[", st.lists(inner, max_size=8), "]"), _joined("{", _fields(inner), "}")),
    max_leaves=20,
)
OBJECTS = _joined("{", _fields(VALUES), "}")


@st.composite
def _pushes(draw: Any) -> str:
    """A push in which a field or two are not what they should be."""
    fields = {json.dumps(name): json.dumps(value) for name, value in PUSH.items()}
    for name in draw(st.lists(st.sampled_from(list(fields)), max_size=2)):
        fields[name] = draw(VALUES)
    fields['"x"'] = draw(VALUES)
    return "{" + ",".join(f"{name}:{value}" for name, value in draw(st.permutations(list(fields.items())))) + "}"


@given(st.one_of(_pushes(), OBJECTS, VALUES), st.sampled_from([48, 1000]))
@example(json.dumps(PUSH), 48)
@example('{"x":[1,1,' + "1," * 60 + "]}", 48)
@example('{"x":{"a":0,' + '"a":0,' * 30 + '0,"b":0}}', 48)
@example('{"x":[' + '["a","b"],' * 30 + '{"a"}]}', 48)
@example('{"x":["' + "a" * 200 + '\\n",1,{"b":"' + "é" * 200 + '"}]}', 48)
def test_it_finds_what_json_finds(text: str, step: int) -> None:
    with mock.patch.object(scanning, "STEP", step):
        _agree(text.encode())


@given(st.one_of(_pushes(), OBJECTS), st.integers(0), st.binary(max_size=2), st.sampled_from([48, 1000]))
def test_it_refuses_what_json_refuses(text: str, where: int, instead: bytes, step: int) -> None:
    whole = text.encode()
    at = where % (len(whole) + 1)

    with mock.patch.object(scanning, "STEP", step):
        _agree(whole[:at] + instead + whole[at + 1 :])
        _agree(whole[:at])


def _nested(depth: int, opens: str, closes: str) -> bytes:
    return body(x=0).replace(b'"x": 0', b'"x": ' + (opens * depth + "0" + closes * depth).encode())


@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[0,{"a":[],"b":', ',"c":1},2]')])
def test_depth_is_counted_to_the_last(opens: str, closes: str) -> None:
    by = 2 if len(opens) > 6 else 1
    most = (DEEPEST - 1) // by

    reduce(_nested(most, opens, closes))
    for depth in (most + 1, 5000):
        with pytest.raises(BadPayload, match="nested too deep"):
            reduce(_nested(depth, opens, closes))


def test_brackets_in_strings_are_no_depth() -> None:
    reduce(body(x=["[" * 100, '\\"' + "{" * 100, "[\\"]))


def test_a_string_without_an_end_takes_no_time() -> None:
    before = time.process_time()
    with pytest.raises(BadPayload):
        parse(b"[" * DEEPEST + b'"' + b'\\"' * 40_000)
    # Milliseconds; a try from each of its quotes would take half a minute.
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "wrong",
    [
        *(b"", b" ", b"[]", b"1", b"null", b"{", b'{"a":1', b'{"a":1}x', b"{}{}", b"{,}", b'{"a" 1}', b'{"a":}'),
        *(b'{"a":,}', b"{1:2}", b'{"a":[}', b'{"a":[1}', b'{"a":{"b"}}', b'{"a":[1 2]}', b'{"a":1,}', b'{"a":[1,]}'),
        *(b"\xef\xbb\xbf{}", b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc3', '{"a":1}'.encode("utf-16")),
        *(b'{"a":"\n"}', b'{"a":"\\x41"}', b'{"a":"\\u00g0"}', b'{"a":"\\', b'{"a":"', b'{"a":["', b'{"a":[tru'),
    ],
)
def test_bodies_that_are_refused(wrong: bytes) -> None:
    with pytest.raises(BadPayload):
        reduce(wrong)
    with pytest.raises(BadPayload):
        _by_loads(wrong, "ping")


@pytest.mark.parametrize(
    "double",
    [
        '{"ref":"a","ref":"a"}',
        '{"ref":"a","r\\u0065f":"b"}',
        '{"repository":{"id":1,"id":2}}',
        '{"sender":{},"sender":{}}',
    ],
)
def test_a_wanted_key_stands_once(double: str) -> None:
    with pytest.raises(BadPayload, match="stands twice"):
        reduce(double.encode())


@pytest.mark.parametrize(
    "double",
    [
        '{"x":1,"x":1}',
        '{"ref":"a","ref":"b"}',
        '{"x":{"y":1,"y":2}}',
        '{"x":[{"y":1,"y":2}]}',
        '{"y":1,"\\u0079":2}',
        '{"x":"\\u0022:","y":1,"y":1}',
        '{"x" :1,"x":2}',
    ],
)
def test_read_as_a_whole_no_key_stands_twice(double: str) -> None:
    with pytest.raises(BadPayload, match="stands twice"):
        parse(double.encode())


def test_however_it_is_written_it_is_read_alike() -> None:
    more = {"x": ["é", 1.5e300, "\ud800", "<&>", "a/b", {"y": None}], "action": "created"}
    for indent, separators in ((None, (",", ":")), (None, None), (2, None)):
        for ascii_only in (True, False):
            text = json.dumps({**PUSH, **more}, indent=indent, separators=separators, ensure_ascii=ascii_only)
            written = text.replace("\ud800", "\\ud800").replace("a/b", "a\\/b").encode()
            assert reduce(written) == {**PUSH, "action": "created"}
            assert parse(written) == json.loads(text)


def test_what_nobody_reads_may_stand_twice_and_have_any_size() -> None:
    assert reduce(b'{"x":1,"x":{"ref":1,"ref":2},"y":' + b"9" * 5000 + b',"ref":"a"}') == {"ref": "a"}


def test_a_wanted_object_has_only_so_many_fields() -> None:
    many = {str(number): number for number in range(MOST_FIELDS + 1)}

    with pytest.raises(BadPayload, match="too many fields"):
        reduce(json.dumps(many).encode())
    assert reduce(json.dumps({"x": many, "ref": "a"}).encode()) == {"ref": "a"}


def test_what_is_wanted_and_far_too_long_is_fit_for_nothing() -> None:
    for name, value in (("ref", "é" * 2000), ("after", "a" * 10**6), ("ref", ["refs/heads/main"])):
        with pytest.raises(BadPayload, match=f"^{name} is not"):
            read("push", reduce(body(**{name: value})))


@pytest.mark.parametrize("value", [b'"' + b"x" * 5000 + b'"', b"9" * 5000, b"1.5", b"true", b"[]", b"{}"])
def test_what_nothing_wanted_can_be_is_not_even_built(value: bytes) -> None:
    assert reduce(b'{"ref":' + value + b"}") == {"ref": UNFIT}
    assert reduce(b'{"repository":{"id":' + value + b"}}") == {"repository": {"id": UNFIT}}


# --- large ones ---


def _large(megabytes: float, entry: Any) -> bytes:
    text = json.dumps(entry)
    return body(commits=0).replace(
        b'"commits": 0', b'"commits": [' + ", ".join([text] * int(megabytes * 2**20 // len(text))).encode() + b"]"
    )


COMMIT = {"id": SHA, "message": 'Say "ä"\n' * 20, "author": {"name": "a"}, "added": [f"src/{n}.py" for n in range(50)]}


@pytest.mark.parametrize("entry", [COMMIT, 1, [[]], "x" * (2**19 - 100), {"a": {"b": [1, 2]}}])
def test_the_memory_that_it_takes_depends_on_the_step_alone(entry: Any) -> None:
    large = _large(0.5, entry)
    with mock.patch.object(scanning, "STEP", 4096):
        tracemalloc.start()
        try:
            found = reduce(large)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert found == PUSH
    # So with steps of 32 KiB it is less than 4 MiB, and with 25 MiB it is what it is with half of one.
    assert peak < 128 * 4096


@pytest.mark.parametrize("entry", [COMMIT, 1, [[]], "x" * (2**21 - 100), {"x" * (2**21 - 100): 1}])
def test_steps_are_short(entry: Any) -> None:
    large = _large(2, entry)

    # Once for the text and once for the rest.
    assert sum(1 for _ in reduction(large)) >= 2 * (len(large) // STEP)


@pytest.mark.parametrize("wrong", [b"1 ", b'"a":1,', b",", b"1,}", b"{1},"])
def test_what_is_wrong_is_refused_where_it_is_wrong(wrong: bytes) -> None:
    """It would be kept otherwise, and looked at again in each step."""
    large = b'{"x":[' + wrong * (2**20 // len(wrong))
    steps = reduction(large)
    first = len(large) // STEP + 3  # the check of the text, and little more

    with pytest.raises(BadPayload):
        collections.deque(itertools.islice(steps, first), maxlen=0)


def test_the_work_grows_with_the_length_alone() -> None:
    """Many values of every size at the top: each is passed in a number of steps that grows with its logarithm."""
    many = {f"k{size}": [[0]] * size for size in range(900)}
    text = json.dumps({**many, **PUSH}).encode()

    assert sum(1 for _ in reduction(text)) < 20 * len(many) + len(text) // 1024


def test_a_bytearray_is_a_body_too() -> None:
    assert reduce(bytearray(body())) == PUSH
