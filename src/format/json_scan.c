/* json_scan.c - RFC 8259, nothing more. */
#include <string.h>

#include "format/json_scan.h"
#include "format/utf8.h"

enum { MAX_DEPTH = 64 };

fanin__json fanin__json_of(const void *data, size_t size) {
    const char *p = data;
    return (fanin__json){.begin = p, .at = p, .end = p + size};
}

bool fanin__json_fail(fanin__json *j, const char *why) {
    if (!j->why) j->why = why;
    return false;
}

char fanin__json_peek(fanin__json *j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\n' || *j->at == '\t' || *j->at == '\r'))
        j->at++;
    return !j->why && j->at < j->end ? *j->at : '\0';
}

bool fanin__json_take(fanin__json *j, char c, const char *why) {
    if (fanin__json_peek(j) != c || j->why) return fanin__json_fail(j, why);
    j->at++;
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

static bool hex4(fanin__json *j, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++) {
        int d = j->at < j->end ? hex_digit(*j->at) : -1;
        if (d < 0) return fanin__json_fail(j, "a \\u escape needs four hexadecimal digits");
        *code = *code << 4 | (uint32_t)d;
        j->at++;
    }
    return true;
}

static bool unicode_escape(fanin__json *j) {
    uint32_t code, low;
    if (!hex4(j, &code)) return false;
    if (code >= 0xd800 && code < 0xdc00) {
        if (j->end - j->at < 2 || j->at[0] != '\\' || j->at[1] != 'u')
            return fanin__json_fail(j, "half of a surrogate pair");
        j->at += 2;
        if (!hex4(j, &low)) return false;
        if (low < 0xdc00 || low > 0xdfff) return fanin__json_fail(j, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return fanin__json_fail(j, "half of a surrogate pair");
    }
    if (code == 0) return fanin__json_fail(j, "a string holds a NUL character");
    char utf8[4];
    fanin__text_append(&j->text, utf8, fanin__utf8_encode(code, utf8));
    return true;
}

static bool escape(fanin__json *j) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (j->at >= j->end) return fanin__json_fail(j, "a string does not end");
    char c = *j->at++;
    if (c == 'u') return unicode_escape(j);
    const char *hit = c ? strchr(from, c) : NULL;
    if (!hit) return fanin__json_fail(j, "an escape that JSON does not know");
    fanin__text_append(&j->text, &to[hit - from], 1);
    return true;
}

bool fanin__json_string(fanin__json *j) {
    if (!fanin__json_take(j, '"', "expected a string")) return false;
    j->text.length = 0;
    fanin__text_append(&j->text, "", 0);
    while (j->at < j->end && *j->at != '"') {
        const char *run = j->at;
        while (j->at < j->end && *j->at != '"' && *j->at != '\\' && (unsigned char)*j->at >= 0x20)
            j->at++;
        size_t n = (size_t)(j->at - run);
        if (!fanin__utf8_valid(run, n)) return fanin__json_fail(j, "a string is not UTF-8");
        fanin__text_append(&j->text, run, n);
        if (j->at >= j->end || *j->at == '"') break;
        if (*j->at != '\\') return fanin__json_fail(j, "a control character in a string");
        j->at++;
        if (!escape(j)) return false;
    }
    if (j->at >= j->end) return fanin__json_fail(j, "a string does not end");
    j->at++;
    if (j->text.failed) return fanin__json_fail(j, "no memory for a string");
    return true;
}

bool fanin__json_u64(fanin__json *j, uint64_t *value) {
    const char *wanted = "expected a whole number, 0 or more";
    char c = fanin__json_peek(j);
    if (c < '0' || c > '9') return fanin__json_fail(j, wanted);
    const char *start = j->at;
    *value = 0;
    for (; j->at < j->end && *j->at >= '0' && *j->at <= '9'; j->at++)
        if (__builtin_mul_overflow(*value, (uint64_t)10, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*j->at - '0'), value))
            return fanin__json_fail(j, "a number does not fit 64 bits");
    bool padded = *start == '0' && j->at - start > 1;
    if (padded || (j->at < j->end && (*j->at == '.' || *j->at == 'e' || *j->at == 'E')))
        return fanin__json_fail(j, wanted);
    return true;
}

/* A number, true, false or null. */
static bool skip_word(fanin__json *j) {
    static const char *const words[] = {"true", "false", "null"};
    size_t left = (size_t)(j->end - j->at);
    for (size_t i = 0; i < FANIN_COUNT(words); i++) {
        size_t n = strlen(words[i]);
        if (left < n || memcmp(j->at, words[i], n) != 0) continue;
        j->at += n;
        return true;
    }
    const char *start = j->at;
    while (j->at < j->end && *j->at && strchr("+-.0123456789eE", *j->at)) j->at++;
    return j->at > start || fanin__json_fail(j, "expected a value");
}

/* The stack of open brackets is a bit each: set for an object. */
bool fanin__json_skip(fanin__json *j) {
    uint64_t objects = 0;
    int depth = 0;
    bool value_wanted = true;
    for (;;) {
        char c = fanin__json_peek(j);
        bool in_object = depth > 0 && (objects & 1);
        if (value_wanted && (c == '{' || c == '[')) {
            if (depth == MAX_DEPTH) return fanin__json_fail(j, "nested deeper than 64 levels");
            j->at++;
            depth++;
            objects = objects << 1 | (c == '{');
            char next = fanin__json_peek(j);
            value_wanted = next != '}' && next != ']';
            if (value_wanted && c == '{' &&
                (!fanin__json_string(j) || !fanin__json_take(j, ':', "expected ':'")))
                return false;
            continue;
        }
        if (value_wanted) {
            if (!(c == '"' ? fanin__json_string(j) : skip_word(j))) return false;
            value_wanted = false;
        } else if (c == ',' && depth > 0) {
            j->at++;
            if (in_object && (!fanin__json_string(j) || !fanin__json_take(j, ':', "expected ':'")))
                return false;
            value_wanted = true;
        } else if (depth > 0 && c == (in_object ? '}' : ']')) {
            j->at++;
            depth--;
            objects >>= 1;
        } else {
            return fanin__json_fail(j, "expected ',' or a closing bracket");
        }
        if (depth == 0 && !value_wanted) return true;
    }
}

bool fanin__json_more(fanin__json *j, char close, bool *first) {
    char c = fanin__json_peek(j);
    if (c == close && !j->why) {
        j->at++;
        return false;
    }
    bool was_first = *first;
    *first = false;
    if (was_first) return !j->why;
    return fanin__json_take(j, ',', "expected ',' or a closing bracket");
}

bool fanin__json_end(fanin__json *j) {
    if (j->why) return false;
    fanin__json_peek(j);
    return j->at == j->end || fanin__json_fail(j, "text behind the end of the JSON object");
}
