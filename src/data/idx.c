#include "data/idx.h"

/* Third byte of the magic. */
static fanin_dtype type_of(unsigned char code) {
    switch (code) {
    case 0x08: return FANIN_U8;
    case 0x09: return FANIN_I8;
    case 0x0b: return FANIN_I16;
    case 0x0c: return FANIN_I32;
    case 0x0d: return FANIN_F32;
    case 0x0e: return FANIN_F64;
    default: return FANIN_DTYPE_NONE;
    }
}

static bool is_idx(const unsigned char *bytes, size_t size) {
    return size >= 4 && bytes[0] == 0 && bytes[1] == 0 && type_of(bytes[2]) != FANIN_DTYPE_NONE &&
           bytes[3] > 0;
}

static void turn(unsigned char *p, size_t count, size_t width) {
    for (size_t i = 0; i < count; i++, p += width)
        for (size_t k = 0; k < width / 2; k++) {
            unsigned char swap = p[k];
            p[k] = p[width - 1 - k];
            p[width - 1 - k] = swap;
        }
}

fanin_status fanin__idx_parse(unsigned char *bytes, size_t size, const char *what,
                              fanin_array *array, fanin_err *err) {
    if (!is_idx(bytes, size))
        return fanin_err_set(err, FANIN_FORMAT,
                             "%s: neither .npy, .npz nor IDX (it begins %02x %02x %02x %02x)", what,
                             size > 0 ? bytes[0] : 0, size > 1 ? bytes[1] : 0,
                             size > 2 ? bytes[2] : 0, size > 3 ? bytes[3] : 0);
    *array = (fanin_array){.name = "", .dtype = type_of(bytes[2]), .rank = bytes[3]};
    size_t header = 4 + 4 * (size_t)bytes[3], width = fanin_dtype_size(array->dtype), count;
    if (array->rank > FANIN_MAX_RANK || size < header)
        return fanin_err_set(err, FANIN_FORMAT, "%s: %d axes, %zu bytes; expected at most %d axes",
                             what, bytes[3], size, FANIN_MAX_RANK);
    for (int i = 0; i < array->rank; i++) {
        const unsigned char *p = bytes + 4 + 4 * i;
        array->dims[i] =
            (int64_t)((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
    }
    char shape[96];
    if (!fanin__shape_count(array->dims, array->rank, &count) ||
        !fanin__size_mul(count, width, &array->size) || array->size != size - header)
        return fanin_err_set(
            err, FANIN_FORMAT, "%s: %zu bytes of numbers, its header says %s of %s", what,
            size - header, fanin__shape_text(array->dims, array->rank, shape, sizeof shape),
            fanin_dtype_name(array->dtype));
    array->data = bytes + header;
    if (width > 1) turn(bytes + header, count, width);
    return FANIN_OK;
}
