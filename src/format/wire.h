/* wire.h - protobuf's wire format, read in place: a cursor over fields, and one walk over a whole message
 * that bounds depth and checks every length before anything is decoded. */
#ifndef FANIN_SRC_WIRE_H
#define FANIN_SRC_WIRE_H

#include <protobuf-c/protobuf-c.h>

#include "base/base.h"

enum { FANIN__WIRE_DEPTH = 40 };

typedef enum fanin__wire_type {
    FANIN__WIRE_VARINT = 0,
    FANIN__WIRE_64 = 1,
    FANIN__WIRE_BYTES = 2,
    FANIN__WIRE_32 = 5
} fanin__wire_type;

typedef struct fanin__wire {
    const unsigned char *at, *end;
} fanin__wire;

typedef struct fanin__wire_field {
    uint32_t id;
    fanin__wire_type type;
    uint64_t number;           /* varint and fixed */
    const unsigned char *data; /* bytes */
    size_t size;
} fanin__wire_field;

fanin__wire fanin__wire_of(const void *data, size_t size);
fanin__wire fanin__wire_inside(const fanin__wire_field *field);
/* The next field; false at the end, and on damage, when *why (may be NULL) is set to what is wrong. */
bool fanin__wire_next(fanin__wire *w, fanin__wire_field *field, const char **why);
bool fanin__wire_varint(fanin__wire *w, uint64_t *value);
/* Checks `size` bytes as a message of `schema`, all the way down: lengths, wire types, depth, text
 * without NUL bytes and in UTF-8. FORMAT or LIMIT with "name: byte N (graph.node): ...". */
fanin_status fanin__wire_check(const void *data, size_t size,
                               const ProtobufCMessageDescriptor *schema, const char *name,
                               fanin_err *err);

#endif
