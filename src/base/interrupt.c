#include <stdatomic.h>

#include "base/base.h"

static atomic_bool stop_asked;

void fanin_interrupt(bool stop) { atomic_store(&stop_asked, stop); }

bool fanin_interrupted(void) { return atomic_load_explicit(&stop_asked, memory_order_relaxed); }
