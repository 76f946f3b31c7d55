#include <stdio.h>

#include "base/base.h"

const char *fanin_version(void) { return FANIN_VERSION; }

const char *fanin_status_name(fanin_status status) {
    switch (status) {
#define CASE(name, value, text) \
    case FANIN_##name: return #name;
        FANIN_STATUS_MAP(CASE)
#undef CASE
    }
    return "?";
}

const char *fanin_status_text(fanin_status status) {
    switch (status) {
#define CASE(name, value, text) \
    case FANIN_##name: return text;
        FANIN_STATUS_MAP(CASE)
#undef CASE
    }
    return "unknown status";
}

fanin_status fanin_err_set(fanin_err *err, fanin_status status, const char *format, ...) {
    if (!err) return status;
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}
