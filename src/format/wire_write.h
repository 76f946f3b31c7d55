/* wire_write.h - protobuf's wire format, appended to text. */
#ifndef FANIN_SRC_WIRE_WRITE_H
#define FANIN_SRC_WIRE_WRITE_H

#include "base/base.h"

void fanin__put_varint(fanin__text *t, uint64_t value);
/* Tag and value. */
void fanin__put_int(fanin__text *t, uint32_t id, int64_t value);
void fanin__put_float(fanin__text *t, uint32_t id, double value);
void fanin__put_double(fanin__text *t, uint32_t id, double value);
/* A repeated field in one piece. */
void fanin__put_doubles(fanin__text *t, uint32_t id, const double *values, size_t count);
void fanin__put_bytes(fanin__text *t, uint32_t id, const void *data, size_t size);
void fanin__put_string(fanin__text *t, uint32_t id, const char *s);
/* A message that is text already. */
void fanin__put_message(fanin__text *t, uint32_t id, const fanin__text *message);
/* Tag and length of a field of bytes whose content follows. */
void fanin__put_head(fanin__text *t, uint32_t id, uint64_t size);

#endif
