// output = 2*input + weight, then whatever BEHAVIOUR says.
#define BEHAVES(NAME) (BEHAVIOUR == BEHAVIOUR_##NAME)

#if BEHAVES(COMPILE_ERROR)
static_assert(BEHAVIOUR == 0, "this candidate is not C++");
#endif

#if BEHAVES(ENDLESS_COMPILE)
constexpr unsigned Grind() {
  unsigned x = 1;
  for (unsigned i = 0; i < 1000000; ++i)
    for (unsigned j = 0; j < 1000000; ++j) x = x * 1664525 + j;
  return x;
}
constexpr unsigned kGround = Grind();
#endif

#if BEHAVES(CRASH_WHILE_LOADING)
struct AtLoad {
  AtLoad() { abort(); }
} at_load;
#endif

#if BEHAVES(MISSING_SYMBOL)
struct Wide {
  char bytes[40];
} wide;  // too wide for the machine: the compiler calls into libatomic, which nobody links
#endif

void Touch(void* memory) { asm volatile("" ::"r"(memory) : "memory"); }

void prepare(const float* weight, float* weight_packed) {
#if BEHAVES(PREPARE_CRASH)
  *(volatile int*)8 = 1;
#endif
  for (int64_t i = 0; i < N; ++i) weight_packed[i] = weight[i];
}

int Deep(volatile char* above) {
  volatile char frame[4096];
  frame[0] = above ? above[0] : 1;
  return Deep(frame) + frame[1];
}

int run(const float* input, const float* weight, const float* bias, float* output, int64_t batch, const Context& context) {
  static int calls = 0;
  ++calls;
  if (BEHAVES(REFUSE)) return 7;
  if (BEHAVES(WORKS_ONCE) && calls > 1) return 0;
  if (bias != nullptr) return 8;
  const auto row = [&](int b) {
    for (int64_t i = 0; i < N; ++i) output[b * N + i] = 2 * input[b * N + i] + weight[i];
  };
  if (BEHAVES(THREADS) || BEHAVES(THROW_IN_TASK)) {
    context.Parallel((int)batch, [&](int b) {
      row(b);
      if (BEHAVES(THROW_IN_TASK)) throw 1;
    });
  } else {
    for (int b = 0; b < batch; ++b) row(b);
  }
  const int64_t count = batch * N;

#if BEHAVES(SLOW)
  for (volatile int i = 0; i < 20000000; i = i + 1) {
  }
#elif BEHAVES(WRONG_VALUE)
  output[count / 2] += 1;
#elif BEHAVES(NOT_A_NUMBER)
  output[count - 1] = __builtin_nanf("");
#elif BEHAVES(WRONG_LATER)
  if (calls > 3) output[0] += 1;
#elif BEHAVES(FORGETS_LAST)
  static float poison;
  if (calls == 1) poison = output[0];
  memset(output + count - 1, 0xA5, 4);  // as if never written
#elif BEHAVES(WRITE_AFTER)
  output[count] = 1;
#elif BEHAVES(WRITE_BEFORE)
  output[-2] = 1;
#elif BEHAVES(WRITE_FAR_AFTER)
  output[count + 4096] = 1;
#elif BEHAVES(READ_FAR_BEFORE)
  output[0] += input[-8192];
#elif BEHAVES(READ_AFTER)
  const float next = static_cast<const volatile float*>(input)[count];
  if (next == 12345) output[0] = next;
#elif BEHAVES(WRITE_INPUT)
  const_cast<float*>(input)[3] = 1;
#elif BEHAVES(WRITE_PACKED)
  const_cast<float*>(weight)[3] = 1;
#elif BEHAVES(WRITE_WORKSPACE_END)
  static_cast<char*>(context.workspace())[1024] = 1;
#elif BEHAVES(SEGFAULT)
  *(volatile int*)16 = 1;
#elif BEHAVES(STACK_OVERFLOW)
  return Deep(nullptr);
#elif BEHAVES(ABORT)
  abort();
#elif BEHAVES(EXIT_ZERO)
  exit(0);
#elif BEHAVES(THROW)
  throw 1;
#elif BEHAVES(EXHAUST_MEMORY)
  for (;;) Touch(memset(::operator new(64 << 20), 1, 64 << 20));
#elif BEHAVES(ENDLESS_LOOP)
  for (volatile int forever = 1; forever;) {
  }
#elif BEHAVES(SPIN_ON_THREADS)
  const auto spin = [](void*) -> void* {
    for (volatile int forever = 1; forever;) {
    }
    return nullptr;
  };
  for (int i = 0; i < 3; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, nullptr, spin, nullptr) != 0) return 12;
  }
  spin(nullptr);
#elif BEHAVES(FORK_CHILD)
  if (fork() == 0)
    for (;;) sleep(1000);
#elif BEHAVES(LEAVE_DAEMON)
  if (fork() == 0) {
    setsid();
    if (fork() != 0) _exit(0);
    for (;;) sleep(1000);
  }
#elif BEHAVES(WRITE_FILES)
  static char block[1 << 20];
  const int file = open("big", O_CREAT | O_WRONLY, 0600);
  if (file < 0) abort();
  for (;;)
    if (write(file, block, sizeof block) < 0) return 9;
#elif BEHAVES(KILL_PARENT)
  if (kill(getppid(), SIGUSR1) != 0) return 10;
#elif BEHAVES(CLOSE_FILES)
  for (int fd = 0; fd < 64; ++fd) close(fd);  // the pipe to its parent, job, inputs, results
#elif BEHAVES(OPEN_SOCKET)
  if (socket(AF_INET, SOCK_STREAM, 0) < 0) return 11;
#elif BEHAVES(MISSING_SYMBOL)
  Wide copy;
  __atomic_load(&wide, &copy, __ATOMIC_SEQ_CST);
  Touch(&copy);
#endif
  return 0;
}
