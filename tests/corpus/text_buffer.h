// A text that grows at its end, in steps.
#ifndef TEXT_BUFFER_H
#define TEXT_BUFFER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct text_buffer {
    char* text;
    size_t bytes;
    size_t room;
};

void text_buffer_append(struct text_buffer* buffer, const char* text, size_t bytes);

#ifdef __cplusplus
}
#endif

#endif
