#include "tests/templates/loaded_kernel.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "core/file.h"
#include "measure/verification.h"
#include "templates/prelude/abi.h"

namespace lathe::testing {
namespace {

// Tasks dealt out to as many threads as the kernel was promised, so that races between tasks can show.
void RunTasks(void* pool, int32_t tasks, void (*body)(void*, int32_t), void* arg) {
  const int threads = static_cast<int>(reinterpret_cast<intptr_t>(pool));
  std::vector<std::thread> workers;
  for (int worker = 0; worker < threads; ++worker)
    workers.emplace_back([=] {
      for (int32_t task = worker; task < tasks; task += threads) body(arg, task);
    });
  for (std::thread& worker : workers) worker.join();
}

// A heap block that starts on 64 bytes and ends where the tensor ends.
class Block {
 public:
  explicit Block(size_t bytes) {
    // Unlike aligned_alloc it takes any size, so the sanitizer sees every byte past the end.
    if (bytes > 0 && posix_memalign(&data_, 64, bytes) != 0) data_ = nullptr;
  }
  ~Block() { std::free(data_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  uint8_t* data() const { return static_cast<uint8_t*>(data_); }

 private:
  void* data_ = nullptr;
};

double ElementAt(const Tensor& tensor, DType dtype, size_t i) {
  const auto read = [&](auto zero) {
    decltype(zero) value;
    std::memcpy(&value, tensor.data() + i * sizeof value, sizeof value);
    return static_cast<double>(value);
  };
  switch (dtype) {
    case DType::kF32:
      return read(float{});
    case DType::kF64:
      return read(double{});
    case DType::kU8:
      return read(uint8_t{});
    case DType::kI8:
      return read(int8_t{});
    case DType::kI32:
      return read(int32_t{});
    case DType::kI64:
      return read(int64_t{});
    case DType::kF16: {
      uint16_t bits;
      std::memcpy(&bits, tensor.data() + i * sizeof bits, sizeof bits);
      return static_cast<double>(HalfToFloat(bits));
    }
  }
  return 0;
}

struct Half {
  uint16_t bits;
};

template <typename T>
void FillTyped(Tensor& tensor, const Filling& filling, std::mt19937_64& random) {
  std::uniform_real_distribution<double> real(filling.low, std::nextafter(filling.high, filling.high + 1));
  std::uniform_int_distribution<int64_t> whole(static_cast<int64_t>(filling.low), static_cast<int64_t>(filling.high));
  for (size_t i = 0; i < tensor.size() / sizeof(T); ++i) {
    T value;
    if constexpr (std::is_same_v<T, Half>)
      value.bits = FloatToHalf(filling.integers ? static_cast<float>(whole(random)) : static_cast<float>(real(random)));
    else
      value = filling.integers ? static_cast<T>(whole(random)) : static_cast<T>(real(random));
    std::memcpy(tensor.data() + i * sizeof(T), &value, sizeof(T));
  }
}

void Fill(Tensor& tensor, const TensorShape& shape, std::mt19937_64& random) {
  switch (shape.dtype) {
    case DType::kF32:
      return FillTyped<float>(tensor, shape.filling, random);
    case DType::kF64:
      return FillTyped<double>(tensor, shape.filling, random);
    case DType::kU8:
      return FillTyped<uint8_t>(tensor, shape.filling, random);
    case DType::kI8:
      return FillTyped<int8_t>(tensor, shape.filling, random);
    case DType::kI32:
      return FillTyped<int32_t>(tensor, shape.filling, random);
    case DType::kI64:
      return FillTyped<int64_t>(tensor, shape.filling, random);
    case DType::kF16:
      return FillTyped<Half>(tensor, shape.filling, random);
  }
}

std::vector<std::unique_ptr<Block>> CopyIn(const std::vector<Tensor>& tensors, std::vector<void*>& pointers) {
  std::vector<std::unique_ptr<Block>> blocks;
  for (const Tensor& tensor : tensors) {
    blocks.push_back(std::make_unique<Block>(tensor.size()));
    if (!tensor.empty()) std::memcpy(blocks.back()->data(), tensor.data(), tensor.size());
    pointers.push_back(blocks.back()->data());
  }
  return blocks;
}

void CopyOut(const std::vector<std::unique_ptr<Block>>& blocks, std::vector<Tensor>& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i)
    if (!tensors[i].empty()) std::memcpy(tensors[i].data(), blocks[i]->data(), tensors[i].size());
}

}  // namespace

Result<LoadedKernel> LoadedKernel::Build(const std::string& source, const std::vector<std::string>& flags) {
  Result<TempDir> dir = TempDir::Create("kernel");
  if (!dir) return dir.error();
  const auto cpp = dir->path() / "kernel.cpp", so = dir->path() / "kernel.so", log = dir->path() / "log";
  if (Status written = WriteFile(cpp, source); !written) return written.error();
  std::string command = "c++ -std=c++20 -march=native -fPIC -shared -w ";
#ifdef __SANITIZE_ADDRESS__
  // Unoptimised: every access of the source is still there to be checked, in half the compile time.
  command += "-O0 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all ";
#else
  command += "-O2 ";
#endif
  for (const std::string& flag : flags) command += flag + ' ';
  command += fmt::format("-o {} {} > {} 2>&1", so.string(), cpp.string(), log.string());
  if (std::system(command.c_str()) != 0) {
    Result<std::string> output = ReadFile(log);
    return Error{ErrorCode::kInvalidInput, fmt::format("build kernel: {}", output ? output->substr(0, 3000) : "no output")};
  }
  LoadedKernel kernel;
  void* handle = dlopen(so.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return Error{ErrorCode::kInvalidInput, fmt::format("load kernel: {}", dlerror())};
  kernel.handle_ = std::shared_ptr<void>(handle, [](void* open) { dlclose(open); });
  kernel.run_ = dlsym(handle, "lathe_run");
  kernel.prepare_ = dlsym(handle, "lathe_prepare");
  kernel.make_inputs_ = dlsym(handle, "lathe_make_inputs");
  if (kernel.run_ == nullptr) return Error{ErrorCode::kInvalidInput, "load kernel: it exports no lathe_run"};
  return kernel;
}

bool LoadedKernel::prepares() const { return prepare_ != nullptr; }

int LoadedKernel::Run(std::vector<Tensor>& tensors, const std::vector<int64_t>& dynamic, size_t workspace_bytes, int threads) const {
  std::vector<void*> pointers;
  const auto blocks = CopyIn(tensors, pointers);
  const Block workspace(workspace_bytes);
  if (workspace_bytes > 0) std::memset(workspace.data(), 0xA5, workspace_bytes);
  const lathe_parallel parallel{reinterpret_cast<void*>(static_cast<intptr_t>(threads)), threads, RunTasks};
  const lathe_call call{pointers.data(), dynamic.data(), workspace.data(), &parallel};
  const int refused = reinterpret_cast<int (*)(const lathe_call*)>(run_)(&call);
  CopyOut(blocks, tensors);
  return refused;
}

void LoadedKernel::Prepare(const std::vector<Tensor>& plain, std::vector<Tensor>& packed) const {
  std::vector<void*> from, to;
  const auto from_blocks = CopyIn(plain, from);
  const auto to_blocks = CopyIn(packed, to);
  reinterpret_cast<void (*)(const void* const*, void* const*)>(prepare_)(from.data(), to.data());
  CopyOut(to_blocks, packed);
}

void LoadedKernel::MakeInputs(std::vector<Tensor>& tensors, const std::vector<int64_t>& dynamic, uint64_t seed) const {
  std::vector<void*> pointers;
  const auto blocks = CopyIn(tensors, pointers);
  const lathe_parallel parallel{reinterpret_cast<void*>(intptr_t{1}), 1, RunTasks};
  const lathe_call call{pointers.data(), dynamic.data(), nullptr, &parallel};
  reinterpret_cast<void (*)(const lathe_call*, uint64_t)>(make_inputs_)(&call, seed);
  CopyOut(blocks, tensors);
}

std::vector<int64_t> DynamicValues(const Operator& op, const Workload& workload) {
  std::vector<int64_t> values;
  for (const Attribute& attribute : op.attributes())
    if (attribute.dynamic) values.push_back(std::get<int64_t>(*Find(workload.attributes, attribute.name)));
  return values;
}

std::vector<Tensor> MakeTensors(const Operator& op, const std::vector<TensorShape>& shapes, const LoadedKernel& reference,
                                const std::vector<int64_t>& dynamic, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Tensor> tensors;
  for (const TensorShape& shape : shapes) {
    // 0xCD: an output that a kernel forgets to write must not look like a zero it computed.
    tensors.emplace_back(shape.present ? shape.bytes() : 0, uint8_t{0xCD});
    if (shape.present && shape.role != TensorRole::kOut) Fill(tensors.back(), shape, random);
  }
  if (op.makes_inputs()) reference.MakeInputs(tensors, dynamic, seed);
  return tensors;
}

std::string Disagreement(const TensorShape& shape, const Tensor& expected, const Tensor& actual) {
  const size_t count = expected.size() / SizeOf(shape.dtype);
  double largest = 0;
  for (size_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(ElementAt(expected, shape.dtype, i)));
  const double allowed = shape.tolerance.exact ? 0 : shape.tolerance.absolute + shape.tolerance.relative * largest;
  for (size_t i = 0; i < count; ++i) {
    const double want = ElementAt(expected, shape.dtype, i), got = ElementAt(actual, shape.dtype, i);
    if (!(std::abs(want - got) <= allowed))
      return fmt::format("{}[{}] is {} where {} was expected (allowed difference {})", shape.name, i, got, want, allowed);
  }
  return {};
}

}  // namespace lathe::testing
