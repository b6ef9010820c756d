}  // namespace
@MAKE_INPUTS_EXTERN@namespace {

struct @OP@_case {
  const char* name;
  lathe_@OP@_workload workload;
  TensorCase tensors[@TENSORS@];
};

const @OP@_case @OP@_cases[] = {
@CASES@};

void Test_@OP@() {
  for (const @OP@_case& test : @OP@_cases) {
    const lathe_@OP@_workload& workload = test.workload;
    std::mt19937_64 random(1);
    void* tensors[@TENSORS@] = {};
    size_t bytes[@TENSORS@] = {};
    for (int i = 0; i < @TENSORS@; ++i) {
      bytes[i] = lathe_@OP@_tensor_bytes(&workload, i);
      tensors[i] = bytes[i] > 0 ? lathe_alloc(bytes[i]) : nullptr;
      if (test.tensors[i].role != 'o' && bytes[i] > 0) Fill(tensors[i], bytes[i], test.tensors[i], random);
    }
    const int64_t dynamic[] = {@DYNAMIC@};
    const lathe_call call = {tensors, dynamic, nullptr, lathe_threads_parallel(threads)};
    lathe_@OP@_facts facts = {};
    memcpy(&facts, &workload, sizeof workload);
    (void)call, (void)facts;
    lathe_@OP@_complete(&facts);
@MAKE_INPUTS@
    lathe_@OP@* tuned = nullptr;
    lathe_@OP@* plain = nullptr;
    std::string trouble;
    double error = 0;
    if (lathe_@OP@_create(&workload, @CONSTANTS@0, &tuned) != LATHE_OK || lathe_@OP@_create(&workload, @CONSTANTS@LATHE_FORCE_FALLBACK, &plain) != LATHE_OK)
      trouble = lathe_last_error();
    std::vector<std::vector<unsigned char>> answers;
    for (lathe_@OP@* kernel : {plain, tuned}) {
      if (!trouble.empty()) break;
      for (int i = 0; i < @TENSORS@; ++i)
        if (test.tensors[i].role == 'o') memset(tensors[i], 0xCD, bytes[i]);
      if (lathe_@OP@_run(kernel, @OTHERS@lathe_threads_parallel(threads)) != LATHE_OK) trouble = lathe_last_error();
      for (int i = 0; i < @TENSORS@ && trouble.empty(); ++i) {
        if (test.tensors[i].role != 'o') continue;
        if (kernel == plain)
          answers.emplace_back(static_cast<unsigned char*>(tensors[i]), static_cast<unsigned char*>(tensors[i]) + bytes[i]);
        else
          trouble = Compare(test.tensors[i], bytes[i], answers[static_cast<size_t>(std::count_if(test.tensors, test.tensors + i, [](const TensorCase& t) { return t.role == 'o'; }))].data(), tensors[i], &error);
      }
    }
    Report("@OP@", test.name, tuned != nullptr ? kMatches[lathe_@OP@_match(tuned)] : "none", trouble, error);
    lathe_@OP@_destroy(tuned);
    lathe_@OP@_destroy(plain);
    for (void* tensor : tensors) lathe_free(tensor);
  }
}
