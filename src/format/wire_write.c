#include <string.h>

#include "format/wire_write.h"

void fanin__put_varint(fanin__text *t, uint64_t value) {
    char buf[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) buf[n++] = (char)(unsigned char)(value | 0x80);
    buf[n++] = (char)value;
    fanin__text_append(t, buf, n);
}

static void put_tag(fanin__text *t, uint32_t id, unsigned type) {
    fanin__put_varint(t, (uint64_t)id << 3 | type);
}

void fanin__put_int(fanin__text *t, uint32_t id, int64_t value) {
    put_tag(t, id, 0);
    fanin__put_varint(t, (uint64_t)value);
}

void fanin__put_float(fanin__text *t, uint32_t id, double value) {
    float f = (float)value;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    char buf[4];
    for (int i = 0; i < 4; i++) buf[i] = (char)(unsigned char)(bits >> (8 * i));
    put_tag(t, id, 5);
    fanin__text_append(t, buf, 4);
}

static void put_fixed64(fanin__text *t, double value) {
    uint64_t bits;
    char buf[8];
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < 8; i++) buf[i] = (char)(unsigned char)(bits >> (8 * i));
    fanin__text_append(t, buf, 8);
}

void fanin__put_double(fanin__text *t, uint32_t id, double value) {
    put_tag(t, id, 1);
    put_fixed64(t, value);
}

void fanin__put_doubles(fanin__text *t, uint32_t id, const double *values, size_t count) {
    fanin__put_head(t, id, 8 * (uint64_t)count);
    for (size_t i = 0; i < count; i++) put_fixed64(t, values[i]);
}

void fanin__put_head(fanin__text *t, uint32_t id, uint64_t size) {
    put_tag(t, id, 2);
    fanin__put_varint(t, size);
}

void fanin__put_bytes(fanin__text *t, uint32_t id, const void *data, size_t size) {
    fanin__put_head(t, id, size);
    if (size) fanin__text_append(t, data, size);
}

void fanin__put_string(fanin__text *t, uint32_t id, const char *s) {
    fanin__put_bytes(t, id, s, strlen(s));
}

void fanin__put_message(fanin__text *t, uint32_t id, const fanin__text *message) {
    fanin__put_bytes(t, id, message->data, message->length);
    if (message->failed) t->failed = true;
}
