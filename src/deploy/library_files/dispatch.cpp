// Chooses and runs the kernels of operator '@OP@'. Generated.
#include "@OP@_facts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <new>

#include "library.h"

extern "C" {
@EXTERNS@}

namespace {
@EXPRESSION_HELPERS@
constexpr int kTensors = @TENSORS@;

struct Entry {
  lathe_@OP@_workload workload;
  lathe_match match;
  const char* reason;
  int (*run)(const lathe_call*);
  void (*prepare)(const void* const*, void* const*);
  size_t (*workspace)(const lathe_@OP@_facts*);  // null: needs none
  size_t packed_bytes[kTensors];  // 0: taken as it is
};

@WORKSPACES@
const Entry kEntries[] = {
@ENTRIES@    {{}, LATHE_MATCH_FALLBACK, nullptr, nullptr, nullptr, nullptr, {}},
};
constexpr int kEntryCount = sizeof kEntries / sizeof kEntries[0] - 1;

typedef int (*Fallback)(const lathe_@OP@_facts*, const lathe_call*);

Fallback FallbackFor(const lathe_@OP@_facts* facts) {
  (void)facts;
@FALLBACKS@  return nullptr;
}

// What is compiled into a kernel must agree; only launch-time attributes may differ.
bool SameStatic(const lathe_@OP@_workload& a, const lathe_@OP@_workload& b) {
  (void)a, (void)b;
  return @SAME_STATIC@;
}

double Distance(const lathe_@OP@_workload& a, const lathe_@OP@_workload& b) {
  (void)a, (void)b;
  return @DISTANCE@;
}

// In what the workload that a kernel was tuned for is not the one that was asked for. A text that grows too long is cut off.
struct Differences {
  int count = 0;
  char text[256] = "";

  void Add(const char* attribute, const char* asked, const char* tuned) {
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s%s=%s instead of %s", count++ == 0 ? "" : ", ", attribute, tuned, asked);
  }
  void Add(const char* attribute, int64_t asked, int64_t tuned) {
    char a[24], t[24];
    snprintf(a, sizeof a, "%lld", (long long)asked), snprintf(t, sizeof t, "%lld", (long long)tuned);
    Add(attribute, a, t);
  }
  void Add(const char* attribute, double asked, double tuned) {
    char a[32], t[32];
    snprintf(a, sizeof a, "%.9g", asked), snprintf(t, sizeof t, "%.9g", tuned);
    Add(attribute, a, t);
  }
};

Differences Compare(const lathe_@OP@_workload& asked, const lathe_@OP@_workload& tuned) {
  (void)asked, (void)tuned;
  Differences differences;
@DIFFERENCES@  return differences;
}

@FACTS_FUNCTIONS@
@TENSOR_BYTES@
// Names, and in which workloads a tensor is there: "bias=1"; null where in all.
struct TensorText {
  const char *name, *when;
};
const TensorText kTensorTexts[kTensors] = {@TENSOR_TEXTS@};

void PrintWorkload(const lathe_@OP@_facts* facts, char* text, size_t size) {
  (void)facts;
  size_t used = 0;
  const auto add = [&](const char* name, const char* value) {
    if (used < size) used += (size_t)snprintf(text + used, size - used, "%s%s=%s", used == 0 ? "@OP@:" : ",", name, value);
  };
  char number[32];
@PRINT_WORKLOAD@  (void)add, (void)number;
}

// Refuses a tensor that is missing, and one that would be ignored.
lathe_status CheckPresence(const lathe_@OP@_facts* facts, int tensor, size_t bytes, const void* pointer) {
  if (pointer == nullptr ? bytes == 0 : IsPresent(facts, tensor)) return LATHE_OK;
  const TensorText& of = kTensorTexts[tensor];
  char workload[400] = "";
  PrintWorkload(facts, workload, sizeof workload);
  if (pointer == nullptr) return lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: tensor '%s' must not be null for %s", of.name, workload);
  return lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: tensor '%s' was given, but it counts only with %s; set that, or pass a null, for %s", of.name,
                    of.when, workload);
}

bool IsConstant(int tensor) {
  (void)tensor;
  return @IS_CONSTANT@;
}

const char* Check(const lathe_@OP@_workload* workload, lathe_@OP@_facts* facts) {
  memset(facts, 0, sizeof *facts);
  memcpy(facts, workload, sizeof *workload);
  if (const char* bad = lathe_@OP@_bad_attribute(facts)) return bad;
  lathe_@OP@_derive(facts);
  return lathe_@OP@_broken_rule(facts);
}

}  // namespace

struct lathe_@OP@ {
  lathe_@OP@_facts facts;
  const Entry* entry;  // null: the fallback
  Fallback fallback;
  lathe_match match;
  const char* reason;  // the table's, or `text`
  char text[640];
  void* constants[kTensors];
  size_t bytes[kTensors];
  void* workspace;
};

extern "C" {

lathe_@OP@_workload lathe_@OP@_defaults(void) { return {@DEFAULTS@}; }

void lathe_@OP@_complete(lathe_@OP@_facts* facts) { lathe_@OP@_derive(facts); }

size_t lathe_@OP@_tensor_bytes(const lathe_@OP@_workload* workload, int tensor) {
  lathe_@OP@_facts facts;
  if (workload == nullptr || Check(workload, &facts) != nullptr) return 0;
  return TensorBytes(&facts, tensor);
}

lathe_status lathe_@OP@_create(const lathe_@OP@_workload* workload, @CREATE_ARGUMENTS@uint32_t flags, lathe_@OP@** kernel) {
  if (kernel == nullptr || workload == nullptr) return lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: workload and kernel must not be null");
  *kernel = nullptr;
  lathe_@OP@_facts facts;
  if (const char* bad = Check(workload, &facts)) return lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: %s", bad);

  const Entry* best = nullptr;  // can answer
  double best_distance = INFINITY;
  const Entry* like = nullptr;  // cannot, but differs in the fewest attributes
  Differences differences;
  const char* lacking = nullptr;
  for (int i = 0; i < kEntryCount && (flags & LATHE_FORCE_FALLBACK) == 0; ++i) {
    if (!SameStatic(kEntries[i].workload, *workload)) {
      const Differences here = Compare(*workload, kEntries[i].workload);
      if (like == nullptr || here.count < differences.count) like = &kEntries[i], differences = here;
      continue;
    }
    lacking = lathe_cpu_lacks();
    if (lacking != nullptr) break;
    const double distance = Distance(kEntries[i].workload, *workload);
    if (distance < best_distance) best = &kEntries[i], best_distance = distance;
  }
  lathe_match match = LATHE_MATCH_FALLBACK;
  // A kernel that was not tuned at all is not tuned for something near.
  if (best != nullptr) match = best_distance != 0 && best->match == LATHE_MATCH_EXACT ? LATHE_MATCH_NEAREST : best->match;
  char text[640];
  const char* reason = text;
  if (best != nullptr && best_distance == 0) reason = best->reason;
  else if (best != nullptr)
    snprintf(text, sizeof text, "the kernel is for %s, which may vary at run time%s%s", Compare(*workload, best->workload).text,
             match == best->match ? "; " : "", match == best->match ? best->reason : "");
  else if ((flags & LATHE_FORCE_FALLBACK) != 0) reason = "the caller asked for the fallback";
  else if (lacking != nullptr) snprintf(text, sizeof text, "the kernels were built for a machine with %s, which this one lacks", lacking);
  else if (like != nullptr) snprintf(text, sizeof text, "this library has no kernel for it; the one most like it is for %s", differences.text);
  else reason = "this library has no tuned kernel of '@OP@'";
  if ((flags & LATHE_STRICT) != 0 && match != LATHE_MATCH_EXACT)
    return lathe_fail(LATHE_NOT_TUNED, "@OP@: not tuned for this workload: %s", reason);

  const void* plain[kTensors] = {};
@CONSTANTS@  (void)plain;
  lathe_@OP@* made = new (std::nothrow) lathe_@OP@();
  if (made == nullptr) return lathe_fail(LATHE_OUT_OF_MEMORY, "@OP@: out of memory");
  made->facts = facts;
  made->entry = best;
  made->match = match;
  made->reason = reason;
  if (reason == text) made->reason = strcpy(made->text, text);
  made->fallback = FallbackFor(&facts);
  lathe_status status = LATHE_OK;
  for (int i = 0; i < kTensors; ++i) {
    made->bytes[i] = TensorBytes(&facts, i);
    if (made->bytes[i] == LATHE_TOO_LARGE) status = lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: tensor '%s' is larger than any memory", kTensorTexts[i].name);
  }
  void* packed[kTensors] = {};
  for (int i = 0; i < kTensors && status == LATHE_OK; ++i) {
    if (!IsConstant(i)) continue;
    status = CheckPresence(&facts, i, made->bytes[i], plain[i]);
    if (status != LATHE_OK || made->bytes[i] == 0) continue;
    const bool packs = best != nullptr && best->packed_bytes[i] != 0;
    made->constants[i] = lathe_alloc(packs ? best->packed_bytes[i] : made->bytes[i]);
    if (made->constants[i] == nullptr) status = lathe_fail(LATHE_OUT_OF_MEMORY, "@OP@: out of memory for tensor '%s'", kTensorTexts[i].name);
    else if (packs) packed[i] = made->constants[i];
    else memcpy(made->constants[i], plain[i], made->bytes[i]);
  }
  if (status == LATHE_OK && best != nullptr && best->workspace != nullptr) {
    const size_t bytes = best->workspace(&facts);
    made->workspace = lathe_alloc(bytes);
    if (made->workspace == nullptr && bytes != 0) status = lathe_fail(LATHE_OUT_OF_MEMORY, "@OP@: out of memory for %zu bytes of scratch", bytes);
  }
  if (status != LATHE_OK) {
    lathe_@OP@_destroy(made);
    return status;
  }
  if (best != nullptr && best->prepare != nullptr) best->prepare(plain, packed);
  *kernel = made;
  return LATHE_OK;
}

lathe_match lathe_@OP@_match(const lathe_@OP@* kernel) { return kernel->match; }
const char* lathe_@OP@_reason(const lathe_@OP@* kernel) { return kernel->reason; }

lathe_status lathe_@OP@_run(lathe_@OP@* kernel, @RUN_ARGUMENTS@const lathe_parallel* parallel) {
  if (kernel == nullptr) return lathe_fail(LATHE_INVALID_ARGUMENT, "@OP@: kernel must not be null");
@CHECKS@  void* const tensors[kTensors] = {@RUN_TENSORS@};
  const int64_t dynamic[] = {@DYNAMIC@};
  const lathe_call call = {tensors, dynamic, kernel->workspace, parallel != nullptr ? parallel : lathe_one_thread()};
  const int refused = kernel->entry != nullptr ? kernel->entry->run(&call) : kernel->fallback(&kernel->facts, &call);
  return refused == 0 ? LATHE_OK : lathe_fail(LATHE_REFUSED, "@OP@: the kernel refused the call with code %d", refused);
}

void lathe_@OP@_destroy(lathe_@OP@* kernel) {
  if (kernel == nullptr) return;
  for (void* constant : kernel->constants) lathe_free(constant);
  lathe_free(kernel->workspace);
  delete kernel;
}

}  // extern "C"
