/* utf8.h - text from files. */
#ifndef FANIN_SRC_UTF8_H
#define FANIN_SRC_UTF8_H

#include "base/base.h"

/* Well-formed UTF-8 (no overlong forms, no surrogates, at most U+10FFFF). NUL is allowed. */
bool fanin__utf8_valid(const void *data, size_t size);
/* Writes the code point; returns the number of bytes, 1 to 4. */
size_t fanin__utf8_encode(uint32_t code, char out[4]);

#endif
