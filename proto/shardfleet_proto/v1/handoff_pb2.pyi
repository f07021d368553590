from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Frame(_message.Message):
    __slots__ = ("hello", "ping", "pong", "offer", "answer", "final", "nudge")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    NUDGE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ping: Ping
    pong: Pong
    offer: Offer
    answer: Answer
    final: Final
    nudge: Nudge
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., answer: _Optional[_Union[Answer, _Mapping]] = ..., final: _Optional[_Union[Final, _Mapping]] = ..., nudge: _Optional[_Union[Nudge, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("shard", "epoch", "generation", "protocol_version", "fleet", "schema_hash", "takes_schemas")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_HASH_FIELD_NUMBER: _ClassVar[int]
    TAKES_SCHEMAS_FIELD_NUMBER: _ClassVar[int]
    shard: str
    epoch: int
    generation: str
    protocol_version: int
    fleet: str
    schema_hash: int
    takes_schemas: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, shard: _Optional[str] = ..., epoch: _Optional[int] = ..., generation: _Optional[str] = ..., protocol_version: _Optional[int] = ..., fleet: _Optional[str] = ..., schema_hash: _Optional[int] = ..., takes_schemas: _Optional[_Iterable[int]] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("sent_us",)
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    sent_us: int
    def __init__(self, sent_us: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("ping_sent_us", "received_us", "sent_us")
    PING_SENT_US_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_US_FIELD_NUMBER: _ClassVar[int]
    SENT_US_FIELD_NUMBER: _ClassVar[int]
    ping_sent_us: int
    received_us: int
    sent_us: int
    def __init__(self, ping_sent_us: _Optional[int] = ..., received_us: _Optional[int] = ..., sent_us: _Optional[int] = ...) -> None: ...

class TransferId(_message.Message):
    __slots__ = ("source", "epoch", "sequence")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    source: str
    epoch: int
    sequence: int
    def __init__(self, source: _Optional[str] = ..., epoch: _Optional[int] = ..., sequence: _Optional[int] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("transfer", "target_epoch", "cell", "transfer_time_us", "switch_tick", "offer_tick", "count", "columns", "trace_context")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    TARGET_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CELL_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_TIME_US_FIELD_NUMBER: _ClassVar[int]
    SWITCH_TICK_FIELD_NUMBER: _ClassVar[int]
    OFFER_TICK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    TRACE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    transfer: TransferId
    target_epoch: int
    cell: str
    transfer_time_us: int
    switch_tick: int
    offer_tick: int
    count: int
    columns: bytes
    trace_context: str
    def __init__(self, transfer: _Optional[_Union[TransferId, _Mapping]] = ..., target_epoch: _Optional[int] = ..., cell: _Optional[str] = ..., transfer_time_us: _Optional[int] = ..., switch_tick: _Optional[int] = ..., offer_tick: _Optional[int] = ..., count: _Optional[int] = ..., columns: _Optional[bytes] = ..., trace_context: _Optional[str] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("transfer", "accepted", "reason", "generation")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    transfer: TransferId
    accepted: bool
    reason: str
    generation: str
    def __init__(self, transfer: _Optional[_Union[TransferId, _Mapping]] = ..., accepted: _Optional[bool] = ..., reason: _Optional[str] = ..., generation: _Optional[str] = ...) -> None: ...

class Final(_message.Message):
    __slots__ = ("transfer", "tick", "unix_us", "count", "columns", "every_tick")
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    UNIX_US_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    EVERY_TICK_FIELD_NUMBER: _ClassVar[int]
    transfer: TransferId
    tick: int
    unix_us: int
    count: int
    columns: bytes
    every_tick: bool
    def __init__(self, transfer: _Optional[_Union[TransferId, _Mapping]] = ..., tick: _Optional[int] = ..., unix_us: _Optional[int] = ..., count: _Optional[int] = ..., columns: _Optional[bytes] = ..., every_tick: _Optional[bool] = ...) -> None: ...

class Nudge(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
