"""Frozen values as plain JSON and back, led by their annotations, so that a new field needs no line here.

Nothing is rounded: decimals keep their digits, times their microseconds, mappings their order. Every field is
written, also one that has its default, since a default may change; a field that a record does not have gets
its default, and one that this version does not know is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, Union

Parts = dict[str, bytes]
"""Long tuples, kept beside their record under their digests."""
ReadPart = Callable[[str], bytes]

LONGEST_TUPLE = 64
_MICROSECOND = timedelta(microseconds=1)
_NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}
_Write = Callable[[Any, Parts], Any]
_Read = Callable[[Any, ReadPart], Any]
_Pair = tuple[_Write, _Read]


class Unreadable(ValueError):
    """Raised for a record which this version cannot read, or a value which it cannot write; says where."""


def canonical_json(plain: object) -> bytes:
    """Write plain JSON as compact text with sorted keys, in UTF-8."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_of_bytes(content: bytes) -> str:
    """Digest bytes as sha256:<64 hex>."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def no_part(digest: str) -> bytes:
    """Read the parts of a record that has none. Raises Unreadable."""
    raise Unreadable(f"{digest} is not among what was kept")


class Codec:
    """Writes and reads values of the types that annotations name.

    `name` says how a field is called in the record. With `loose` numbers are numbers: a whole float may be
    written as an integer, as the API server does.
    """

    def __init__(self, name: Callable[[str], str] = str, *, loose: bool = False) -> None:
        self._name = name
        self._loose = loose
        self._known: dict[Any, _Pair] = {}

    def write(self, kind: Any, value: object, parts: Parts) -> Any:
        """Write a value of a type as plain JSON; long tuples go to the parts. Raises Unreadable."""
        return self._pair(kind)[0](value, parts)

    def read(self, kind: Any, plain: object, part: ReadPart = no_part) -> Any:
        """Read a value of a type. Raises Unreadable."""
        return self._pair(kind)[1](plain, part)

    def _pair(self, kind: Any) -> _Pair:
        if kind not in self._known:
            self._known[kind] = self._made(kind)
        return self._known[kind]

    def _made(self, kind: Any) -> _Pair:
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if origin is tuple:
            return self._tuple(arguments)
        if origin is frozenset:
            return self._frozenset(arguments[0])
        if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
            return self._mapping(*arguments)
        if isinstance(kind, type):
            if issubclass(kind, Enum):
                return _enum(kind)
            if dataclasses.is_dataclass(kind):
                return self._dataclass(kind)
            if kind is float:
                return _float(self._loose)
            if kind in _SCALARS:
                return _SCALARS[kind]
        raise Unreadable(f"{kind} has no form in a record")

    def _dataclass(self, kind: Any) -> _Pair:
        hints = typing.get_type_hints(kind)
        fields = [
            (f.name, self._name(f.name), self._pair(hints[f.name]), _is_required(f))
            for f in dataclasses.fields(kind)
            if f.init
        ]
        writers = [(name, label, pair[0]) for name, label, pair, _ in fields]
        readers = {label: (name, pair[1]) for name, label, pair, _ in fields}
        required = {label for _, label, _, needed in fields if needed}

        def write(value: Any, parts: Parts) -> Any:
            if type(value) is not kind:
                raise _no(kind.__name__, value)
            return {label: put(getattr(value, name), parts) for name, label, put in writers}

        def read(plain: Any, part: ReadPart) -> Any:
            if not isinstance(plain, dict):
                raise _no(kind.__name__, plain)
            if strange := sorted(plain.keys() - readers.keys()):
                raise Unreadable(f"{kind.__name__} has no field {strange[0]!r}; a newer version wrote it")
            if missing := sorted(required - plain.keys()):
                raise Unreadable(f"{kind.__name__} lacks {missing[0]!r}")
            return kind(**{readers[k][0]: readers[k][1](v, part) for k, v in plain.items()})

        return write, read

    def _tuple(self, arguments: tuple[Any, ...]) -> _Pair:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return self._long(arguments[0])
        pairs = [self._pair(each) for each in arguments]

        def write(value: Any, parts: Parts) -> Any:
            if not isinstance(value, tuple) or len(value) != len(pairs):
                raise _no(f"a tuple of {len(pairs)}", value)
            return [put(each, parts) for (put, _), each in zip(pairs, value, strict=True)]

        def read(plain: Any, part: ReadPart) -> Any:
            if not isinstance(plain, list) or len(plain) != len(pairs):
                raise _no(f"a list of {len(pairs)}", plain)
            return tuple(take(each, part) for (_, take), each in zip(pairs, plain, strict=True))

        return write, read

    def _long(self, inner: Any) -> _Pair:
        put, take = self._pair(inner)

        def write(value: Any, parts: Parts) -> Any:
            if not isinstance(value, tuple):
                raise _no("a tuple", value)
            plain = [put(each, parts) for each in value]
            if len(plain) <= LONGEST_TUPLE:
                return plain
            content = canonical_json(plain)
            digest = digest_of_bytes(content)
            parts[digest] = content
            return {"part": digest}

        def read(plain: Any, part: ReadPart) -> Any:
            if isinstance(plain, dict) and isinstance(plain.get("part"), str):
                plain = loaded(part(plain["part"]))
            if not isinstance(plain, list):
                raise _no("a list", plain)
            return tuple(take(each, part) for each in plain)

        return write, read

    def _frozenset(self, inner: Any) -> _Pair:
        put, take = self._pair(inner)

        def write(value: Any, parts: Parts) -> Any:
            return sorted((put(each, parts) for each in value), key=canonical_json)

        def read(plain: Any, part: ReadPart) -> Any:
            return frozenset(take(each, part) for each in plain)

        return write, read

    def _mapping(self, key: Any, value: Any) -> _Pair:
        (put_key, take_key), (put, take) = self._pair(key), self._pair(value)

        def write(value: Any, parts: Parts) -> Any:
            if not isinstance(value, Mapping):
                raise _no("a mapping", value)
            return [[put_key(k, parts), put(v, parts)] for k, v in value.items()]

        def read(plain: Any, part: ReadPart) -> Any:
            if not isinstance(plain, list) or any(not isinstance(p, list) or len(p) != 2 for p in plain):
                raise _no("a list of pairs", plain)
            return {take_key(k, part): take(v, part) for k, v in plain}

        return write, read

    def _union(self, arguments: tuple[Any, ...]) -> _Pair:
        members = [each for each in arguments if each is not type(None)]
        optional = len(members) < len(arguments)
        pairs = [(each, *self._pair(each)) for each in members]
        tagged = {
            each.__name__: take
            for each, _, take in pairs
            if isinstance(each, type) and dataclasses.is_dataclass(each)
        }

        def write(value: Any, parts: Parts) -> Any:
            if value is None and optional:
                return None
            if len(pairs) == 1:
                return pairs[0][1](value, parts)
            for member, put, _ in pairs:
                if _fits(member, value):
                    plain = put(value, parts)
                    return {"is": member.__name__, "of": plain} if member.__name__ in tagged else plain
            raise _no(" or ".join(str(m) for m in members), value)

        def read(plain: Any, part: ReadPart) -> Any:
            if plain is None and optional:
                return None
            if len(pairs) == 1:
                return pairs[0][2](plain, part)
            if isinstance(plain, dict) and plain.get("is") in tagged:
                return tagged[plain["is"]](plain.get("of"), part)
            for member, _, take in pairs:
                if getattr(member, "__name__", "") not in tagged:
                    try:
                        return take(plain, part)
                    except Unreadable:
                        continue
            raise _no(" or ".join(str(m) for m in members), plain)

        return write, read


def loaded(content: bytes) -> Any:
    """Read JSON. Raises Unreadable."""
    try:
        return json.loads(content)
    except ValueError as error:
        raise Unreadable(f"it is no JSON: {error}") from error


def _fits(member: Any, value: object) -> bool:
    kind = typing.get_origin(member) or member
    if kind is float:
        return type(value) is float
    return type(value) is kind or (kind is not int and isinstance(kind, type) and isinstance(value, kind))


def _is_required(field: Any) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _no(wanted: str, found: object) -> Unreadable:
    return Unreadable(f"{wanted} is wanted, not {str(found)[:60]!r}")


def _enum(kind: type[Enum]) -> _Pair:
    members = {each.value: each for each in kind}

    def write(value: Any, parts: Parts) -> Any:
        if not isinstance(value, kind):
            raise _no(kind.__name__, value)
        return value.value

    def read(plain: Any, part: ReadPart) -> Any:
        if not isinstance(plain, str | int) or plain not in members:
            raise _no(kind.__name__, plain)
        return members[plain]

    return write, read


def _float(loose: bool) -> _Pair:
    def write(value: Any, parts: Parts) -> Any:
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise _no("a number", value)
        if isinstance(value, int):
            return value
        return float(value) if math.isfinite(value) else str(float(value))

    def read(plain: Any, part: ReadPart) -> Any:
        if isinstance(plain, str) and plain in _NOT_FINITE:
            return _NOT_FINITE[plain]
        if isinstance(plain, bool) or not isinstance(plain, float | int):
            raise _no("a number", plain)
        return float(plain) if loose else plain

    return write, read


def _scalar(
    kind: type, to_plain: Callable[[Any], Any], to_value: Callable[[Any], Any], plainly: type
) -> _Pair:
    def write(value: Any, parts: Parts) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _no(kind.__name__, value)
        return to_plain(value)

    def read(plain: Any, part: ReadPart) -> Any:
        if not isinstance(plain, plainly) or (isinstance(plain, bool) and kind is not bool):
            raise _no(kind.__name__, plain)
        try:
            return to_value(plain)
        except (ValueError, ArithmeticError) as error:
            raise _no(kind.__name__, plain) from error

    return write, read


def _same(value: Any) -> Any:
    return value


def _text(value: str) -> str:
    return str(value.value) if isinstance(value, Enum) else value


_SCALARS: dict[type, _Pair] = {
    bool: _scalar(bool, _same, _same, bool),
    int: _scalar(int, int, _same, int),
    str: _scalar(str, _text, _same, str),
    Decimal: _scalar(Decimal, str, Decimal, str),
    datetime: _scalar(datetime, datetime.isoformat, datetime.fromisoformat, str),
    Fraction: _scalar(Fraction, str, Fraction, str),
    timedelta: _scalar(timedelta, lambda v: v // _MICROSECOND, lambda v: v * _MICROSECOND, int),
}
