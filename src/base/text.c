/* text.c - strings without the locale, and text that grows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

char *fanin__strndup(const char *s, size_t n) {
    char *copy = fanin_malloc(n + 1);
    if (!copy) return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *fanin__strdup(const char *s) { return fanin__strndup(s, strlen(s)); }

static int lower(int c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; }

int fanin__strcasecmp(const char *a, const char *b) {
    while (*a && lower((unsigned char)*a) == lower((unsigned char)*b)) a++, b++;
    return lower((unsigned char)*a) - lower((unsigned char)*b);
}

bool fanin__ends_within(const char *s, size_t n, const char *ending) {
    size_t k = strlen(ending);
    if (n < k) return false;
    for (const char *p = s + (n - k); *ending; p++, ending++)
        if (lower((unsigned char)*p) != lower((unsigned char)*ending)) return false;
    return true;
}

bool fanin__ends_with(const char *s, const char *ending) {
    return fanin__ends_within(s, strlen(s), ending);
}

/* One set "[a-z_]" or "[!0-9]" at *p ('[' consumed); advances *p behind ']'. An unclosed set
 * matches a plain '['. */
static bool set_matches(const char **p, unsigned char c) {
    const char *s = *p;
    bool negate = *s == '!' || *s == '^', hit = false;
    if (negate) s++;
    const char *first = s;
    while (*s && (*s != ']' || s == first)) {
        unsigned char low = (unsigned char)*s, high = low;
        if (s[1] == '-' && s[2] && s[2] != ']') {
            high = (unsigned char)s[2];
            s += 2;
        }
        if (c >= low && c <= high) hit = true;
        s++;
    }
    if (*s != ']') return c == '[';
    *p = s + 1;
    return hit != negate;
}

bool fanin__glob(const char *pattern, const char *text) {
    const char *star = NULL, *mark = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            mark = text;
            continue;
        }
        const char *next = pattern + 1;
        bool same = *pattern == '?' || (*pattern && *pattern == *text);
        if (*pattern == '[') same = set_matches(&next, (unsigned char)*text);
        if (same) {
            pattern = next;
            text++;
        } else if (star) {
            pattern = star;
            text = ++mark;
        } else {
            return false;
        }
    }
    while (*pattern == '*') pattern++;
    return *pattern == '\0';
}

bool fanin__parse_u64(const char *s, const char **end, uint64_t *out) {
    uint64_t value = 0;
    const char *p = s;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    if (end) *end = p;
    *out = value;
    return p != s;
}

/* strtod obeys LC_NUMERIC; the library never calls setlocale but its caller may have. So the
 * number is checked by hand, and handed on with the point that the locale wants. */
double fanin__parse_double(const char *s, const char **end) {
    const char *p = s;
    char buf[512];
    size_t n = 0;
    char probe[8];
    snprintf(probe, sizeof probe, "%.1f", 0.5);
    char point = probe[1];
    bool digits = false;
    if (*p == '+' || *p == '-') buf[n++] = *p++;
    if (!fanin__strcasecmp(p, "inf") || !fanin__strcasecmp(p, "nan")) {
        if (end) *end = p + 3;
        double value = lower((unsigned char)*p) == 'i' ? INFINITY : NAN;
        return *s == '-' ? -value : value;
    }
    for (; *p >= '0' && *p <= '9' && n < 400; p++) buf[n++] = *p, digits = true;
    if (*p == '.') {
        buf[n++] = point;
        for (p++; *p >= '0' && *p <= '9' && n < 400; p++) buf[n++] = *p, digits = true;
    }
    if (!digits) {
        if (end) *end = s;
        return 0;
    }
    if (*p == 'e' || *p == 'E') {
        const char *q = p + 1;
        if (*q == '+' || *q == '-') q++;
        if (*q >= '0' && *q <= '9') {
            while (p < q) buf[n++] = *p++;
            for (; *p >= '0' && *p <= '9' && n < 500; p++) buf[n++] = *p;
        }
    }
    buf[n] = '\0';
    if (end) *end = p;
    return strtod(buf, NULL);
}

const char *fanin__number_text(double value, char buf[32]) {
    if (!isfinite(value)) {
        memcpy(buf, "null", 5);
        return buf;
    }
    if (fabs(value) < 1e15 && value == floor(value)) { /* 600, not 6e+02 */
        snprintf(buf, 32, "%.0f", value);
        return buf;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, 32, "%.*g", digits, value);
        for (char *c = buf; *c; c++)
            if (*c == ',') *c = '.';
        if (fanin__parse_double(buf, NULL) == value) break;
    }
    return buf;
}

static bool reserve(fanin__text *t, size_t extra) {
    size_t max = t->max ? t->max : (size_t)1 << 30, need;
    if (t->failed) return false;
    if (!fanin__size_add(t->length, extra, &need) || need >= max) {
        t->failed = true;
        return false;
    }
    if (need + 1 <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 128;
    while (capacity < need + 1) capacity *= 2;
    char *data = fanin_realloc(t->data, capacity, 1);
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->capacity = capacity;
    return true;
}

void fanin__text_append(fanin__text *t, const char *s, size_t n) {
    if (!reserve(t, n)) return;
    memcpy(t->data + t->length, s, n);
    t->length += n;
    t->data[t->length] = '\0';
}

void fanin__text_puts(fanin__text *t, const char *s) { fanin__text_append(t, s, strlen(s)); }

void fanin__text_vprintf(fanin__text *t, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (n < 0) {
        t->failed = true;
        return;
    }
    if (!reserve(t, (size_t)n)) return;
    vsnprintf(t->data + t->length, (size_t)n + 1, format, args);
    t->length += (size_t)n;
}

void fanin__text_printf(fanin__text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fanin__text_vprintf(t, format, args);
    va_end(args);
}

void fanin__text_fini(fanin__text *t) {
    fanin_free(t->data);
    *t = (fanin__text){0};
}
