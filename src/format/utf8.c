/* utf8.c - RFC 3629, table 3-7 of the Unicode standard. */
#include "format/utf8.h"

bool fanin__utf8_valid(const void *data, size_t size) {
    const unsigned char *p = data, *end = p + size;
    while (p < end) {
        unsigned char c = *p++;
        if (c < 0x80) continue;
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0xc2 || c > 0xf4 || end - p < more) return false;
        unsigned char low = 0x80, high = 0xbf; /* of the second byte */
        if (c == 0xe0) low = 0xa0;             /* overlong */
        if (c == 0xed) high = 0x9f;            /* surrogates */
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f; /* beyond U+10FFFF */
        if (*p < low || *p > high) return false;
        for (int i = 1; i < more; i++)
            if ((p[i] & 0xc0) != 0x80) return false;
        p += more;
    }
    return true;
}

size_t fanin__utf8_encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[n] | code);
    return n;
}
