#include "text_buffer.h"

#include <stdlib.h>
#include <string.h>

enum { STEP_BYTES = 64 << 10 };

void text_buffer_append(struct text_buffer* buffer, const char* text, size_t bytes)
{
    if (buffer->bytes + bytes > buffer->room) {
        buffer->room += STEP_BYTES;
        buffer->text = realloc(buffer->text, buffer->room);
        if (!buffer->text) abort();
    }
    memcpy(buffer->text + buffer->bytes, text, bytes);
    buffer->bytes += bytes;
}
