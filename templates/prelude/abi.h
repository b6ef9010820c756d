/* What a CPU kernel and its host say to each other. Plain C, included by candidates, by the measuring worker and by generated kernel
 * libraries alike; a kernel built against it needs nothing else of Lathe.
 *
 * Every candidate exports
 *     int lathe_run(const lathe_call* call);                                     0, or the number of the thing it refuses
 * and, where its manifest packs constants,
 *     void lathe_prepare(const void* const* plain, void* const* packed);         both indexed like lathe_call::tensors; null where not a constant
 * A reference may also export
 *     void lathe_make_inputs(const lathe_call* call, uint64_t seed);             fills the inputs and constants
 */
#ifndef LATHE_ABI_H
#define LATHE_ABI_H

#include <stdint.h>

#define LATHE_ABI_VERSION 1

/* How a kernel reaches threads: the host owns them. run() returns when body(arg, task) has returned for each task in [0, tasks). */
typedef struct lathe_parallel {
  void* pool;
  int32_t threads; /* >= 1 */
  void (*run)(void* pool, int32_t tasks, void (*body)(void* arg, int32_t task), void* arg);
} lathe_parallel;

typedef struct lathe_call {
  void* const* tensors;      /* in the order of operator.json; a packed constant in place of the plain one; null for an absent one. 64-byte aligned */
  const int64_t* dynamic;    /* values of the dynamic attributes, in the order of operator.json */
  void* workspace;           /* as many bytes as the manifest says, 64-byte aligned; contents undefined */
  const lathe_parallel* parallel;
} lathe_call;

#endif
