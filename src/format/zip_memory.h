/* zip_memory.h - minizip over our own files: reading from a map, writing to a file that is renamed when
 * whole. */
#ifndef FANIN_SRC_ZIP_MEMORY_H
#define FANIN_SRC_ZIP_MEMORY_H

#include <ioapi.h>

#include "base/base.h"

typedef struct fanin__zip_source {
    const unsigned char *data;
    size_t size, at;
} fanin__zip_source;

/* `source` must outlive the archive; pass it as the path to unzOpen2_64. */
zlib_filefunc64_def fanin__zip_reader(fanin__zip_source *source);
/* The same for zipOpen2_64 and a file that stays open. */
zlib_filefunc64_def fanin__zip_writer(fanin__outfile *file);

#endif
