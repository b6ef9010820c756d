// What the sources of this library share. Generated.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lathe_kernels.h"

// Stores the message for lathe_last_error() of this thread and returns the status.
lathe_status lathe_fail(lathe_status status, const char* format, ...) __attribute__((format(printf, 2, 3)));
// A tensor that has bytes lies on 64 of them.
lathe_status lathe_check_alignment(const char* op, const char* tensor, const void* pointer, size_t bytes);
// An output's memory must not be another tensor's, too: kernels read their inputs after they have begun to write.
lathe_status lathe_check_apart(const char* op, const char* tensor, const void* pointer, size_t bytes, const char* output, const void* output_pointer,
                               size_t output_bytes);
// The instruction set that the kernels use and this machine lacks; null when it lacks none.
const char* lathe_cpu_lacks();
const lathe_parallel* lathe_one_thread();

// What a size computed in doubles comes to as bytes; LATHE_TOO_LARGE when no memory holds it.
#define LATHE_TOO_LARGE SIZE_MAX
inline size_t lathe_bytes(double bytes) { return bytes >= 0 && bytes < 0x1p62 ? (size_t)bytes : LATHE_TOO_LARGE; }
