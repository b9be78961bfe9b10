"""PicoQuant's names and numbers: record types, tag types and the constants that tell one record layout from another."""

from __future__ import annotations

from enum import IntEnum


class RecordType(IntEnum):
    """TTTR record types of the unified (PTU) format, by their value in the tag TTResultFormat_TTTRRecType."""

    PicoHarp300T3 = 0x00010303
    PicoHarp300T2 = 0x00010203
    HydraHarpT3 = 0x00010304
    HydraHarpT2 = 0x00010204
    HydraHarp2T3 = 0x01010304
    HydraHarp2T2 = 0x01010204
    TimeHarp260NT3 = 0x00010305
    TimeHarp260NT2 = 0x00010205
    TimeHarp260PT3 = 0x00010306
    TimeHarp260PT2 = 0x00010206
    GenericT3 = 0x00010307
    GenericT2 = 0x00010207

    @property
    def measurement_mode(self) -> int:
        """2 for absolute times, 3 for laser pulse and delay."""
        return (self.value >> 8) & 0xF


class TagType(IntEnum):
    """Types of a PTU header entry."""

    Empty8 = 0xFFFF0008
    Bool8 = 0x00000008
    Int8 = 0x10000008
    BitSet64 = 0x11000008
    Color8 = 0x12000008
    Float8 = 0x20000008
    TDateTime = 0x21000008
    Float8Array = 0x2001FFFF
    AnsiString = 0x4001FFFF
    WideString = 0x4002FFFF
    BinaryBlob = 0xFFFFFFFF
