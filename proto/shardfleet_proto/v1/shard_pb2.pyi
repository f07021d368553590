from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Values(_message.Message):
    __slots__ = ("reals", "integers", "naturals")
    REALS_FIELD_NUMBER: _ClassVar[int]
    INTEGERS_FIELD_NUMBER: _ClassVar[int]
    NATURALS_FIELD_NUMBER: _ClassVar[int]
    reals: _containers.RepeatedScalarFieldContainer[float]
    integers: _containers.RepeatedScalarFieldContainer[int]
    naturals: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, reals: _Optional[_Iterable[float]] = ..., integers: _Optional[_Iterable[int]] = ..., naturals: _Optional[_Iterable[int]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("id", "position", "velocity", "columns")
    class ColumnsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Values
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Values, _Mapping]] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    id: int
    position: _containers.RepeatedScalarFieldContainer[float]
    velocity: _containers.RepeatedScalarFieldContainer[float]
    columns: _containers.MessageMap[str, Values]
    def __init__(self, id: _Optional[int] = ..., position: _Optional[_Iterable[float]] = ..., velocity: _Optional[_Iterable[float]] = ..., columns: _Optional[_Mapping[str, Values]] = ...) -> None: ...

class SpawnRequest(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Entity]
    def __init__(self, rows: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ...) -> None: ...

class SpawnReply(_message.Message):
    __slots__ = ("count",)
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: int
    def __init__(self, count: _Optional[int] = ...) -> None: ...

class DespawnRequest(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class DespawnReply(_message.Message):
    __slots__ = ("ids",)
    IDS_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, ids: _Optional[_Iterable[int]] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: int
    def __init__(self, id: _Optional[int] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("ids", "interval_us")
    IDS_FIELD_NUMBER: _ClassVar[int]
    INTERVAL_US_FIELD_NUMBER: _ClassVar[int]
    ids: _containers.RepeatedScalarFieldContainer[int]
    interval_us: int
    def __init__(self, ids: _Optional[_Iterable[int]] = ..., interval_us: _Optional[int] = ...) -> None: ...

class Column(_message.Message):
    __slots__ = ("name", "dtype", "width")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    width: int
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., width: _Optional[int] = ...) -> None: ...

class Schema(_message.Message):
    __slots__ = ("dimensions", "extra")
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    EXTRA_FIELD_NUMBER: _ClassVar[int]
    dimensions: int
    extra: _containers.RepeatedCompositeFieldContainer[Column]
    def __init__(self, dimensions: _Optional[int] = ..., extra: _Optional[_Iterable[_Union[Column, _Mapping]]] = ...) -> None: ...

class Rows(_message.Message):
    __slots__ = ("tick", "unix_us", "shard", "epoch", "schema", "count", "columns", "states", "part", "parts", "since_tick", "recovered_tick")
    TICK_FIELD_NUMBER: _ClassVar[int]
    UNIX_US_FIELD_NUMBER: _ClassVar[int]
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    SINCE_TICK_FIELD_NUMBER: _ClassVar[int]
    RECOVERED_TICK_FIELD_NUMBER: _ClassVar[int]
    tick: int
    unix_us: int
    shard: str
    epoch: int
    schema: Schema
    count: int
    columns: bytes
    states: bytes
    part: int
    parts: int
    since_tick: bytes
    recovered_tick: int
    def __init__(self, tick: _Optional[int] = ..., unix_us: _Optional[int] = ..., shard: _Optional[str] = ..., epoch: _Optional[int] = ..., schema: _Optional[_Union[Schema, _Mapping]] = ..., count: _Optional[int] = ..., columns: _Optional[bytes] = ..., states: _Optional[bytes] = ..., part: _Optional[int] = ..., parts: _Optional[int] = ..., since_tick: _Optional[bytes] = ..., recovered_tick: _Optional[int] = ...) -> None: ...

class InspectRequest(_message.Message):
    __slots__ = ("section",)
    SECTION_FIELD_NUMBER: _ClassVar[int]
    section: str
    def __init__(self, section: _Optional[str] = ...) -> None: ...

class InspectReply(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...
