// The Python extension bnn_deploy._native (typing: bnn_deploy/_native.pyi). The only file that
// knows nanobind: it checks what Python hands over, releases the GIL while the engine computes, and
// turns a Status into an exception.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cstring>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/bitpack.h"
#include "doors/build_info.h"
#include "engine/network.h"
#include "engine/tensors.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace bnn {
namespace {

template <typename T, size_t Dimensions>
using In = nb::ndarray<const T, nb::ndim<Dimensions>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Out = nb::ndarray<nb::numpy, T>;

[[noreturn]] void raise(const Status& status) {
  switch (status.code) {
    case Code::kMalformed:
      throw nb::value_error(status.message);
    case Code::kUnknownKernel:
      throw nb::key_error(status.message);
    case Code::kNoMemory:
      throw std::bad_alloc();
    default:
      throw std::runtime_error(status.message);
  }
}

void require(bool condition, const std::string& message) {
  if (!condition) throw nb::value_error(message.c_str());
}

// A new numpy array that owns its memory.
template <typename T>
Out<T> new_array(std::initializer_list<size_t> shape) {
  size_t count = 1;
  for (size_t size : shape) count *= size;
  T* data = new T[count ? count : 1];
  nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
  return Out<T>(data, shape.size(), shape.begin(), owner);
}

const char* c_str(const std::optional<std::string>& text) { return text ? text->c_str() : nullptr; }

KernelChoice parse_choice(const char* name) {
  KernelChoice choice{};
  Status status;
  if (!KernelChoice::parse(name, &choice, &status)) raise(status);
  return choice;
}

nb::list kernels() {
  size_t count = 0;
  const Bconv2dKernel* const* all = bconv2d_kernels(&count);
  nb::list names;
  for (size_t i = 0; i < count; ++i) {
    nb::dict row;
    row["name"] = all[i]->name;
    row["method"] = all[i]->method;
    row["isa"] = isa_name(all[i]->isa);
    row["supported"] = isa_supported(all[i]->isa);
    names.append(row);
  }
  return names;
}

nb::list isas() {
  nb::list names;
  for (size_t i = std::size(kIsas); i-- > 0;) {  // best first
    if (isa_supported(kIsas[i])) names.append(isa_name(kIsas[i]));
  }
  return names;
}

nb::dict build_info() {
  nb::dict info;
  info["version"] = kBuildInfo.version;
  info["compiler"] = kBuildInfo.compiler;
  info["flags"] = kBuildInfo.flags;
  info["machine"] = kBuildInfo.machine;
  info["isa"] = isa_name(best_isa());
  return info;
}

Out<uint64_t> pack_bits(const In<float, 2>& x) {
  require(x.shape(1) > 0 && x.shape(1) <= (1u << 30), "x must have 1 to 2^30 channels");
  const int channels = int(x.shape(1));
  Out<uint64_t> words = new_array<uint64_t>({x.shape(0), size_t(words_of(channels))});
  nb::gil_scoped_release release;
  bitpack(x.data(), x.shape(0), channels, words.data());
  return words;
}

Out<float> unpack_bits(const In<uint64_t, 2>& words, int channels) {
  require(channels > 0 && size_t(words_of(channels)) == words.shape(1),
          "words has " + std::to_string(words.shape(1)) + " words a row, not those of " +
              std::to_string(channels) + " channels");
  Out<float> x = new_array<float>({words.shape(0), size_t(channels)});
  nb::gil_scoped_release release;
  bitunpack(words.data(), words.shape(0), channels, x.data());
  return x;
}

// input [H, W, words], weights [out, k, k, words of a group] -> XOR-popcount sums [out_h, out_w,
// out]
Out<int32_t> bconv2d(const In<uint64_t, 3>& input, const In<uint64_t, 4>& weights, int channels,
                     int stride, int groups, const std::optional<std::string>& kernel) {
  constexpr size_t kMax = 1 << 16;
  require(input.shape(0) <= kMax && input.shape(1) <= kMax && weights.shape(0) <= kMax &&
              weights.shape(1) <= kMax,
          "no size may exceed 65536");
  require(weights.shape(1) == weights.shape(2), "weights must be [out, k, k, words]");
  require(stride == 1 || stride == 2, "stride must be 1 or 2");
  const int in_h = int(input.shape(0)), in_w = int(input.shape(1));
  Step step{};
  step.kind = StepKind::kBconv2d;
  step.float_out = true;
  step.shape = {in_h,
                in_w,
                channels,
                (in_h + stride - 1) / stride,
                (in_w + stride - 1) / stride,
                int(weights.shape(0)),
                int(weights.shape(1)),
                stride,
                groups,
                0,
                0};
  Status status;
  if (!check_step(0, &step, &status)) raise(status);
  const ConvShape& shape = step.shape;
  require(size_t(words_of(channels)) == input.shape(2),
          "input does not have the words of its channels");
  require(size_t(words_of(shape.in_c_per_group())) == weights.shape(3),
          "weights do not have the words of their channels");
  PreparedStep prepared;
  if (!choose_kernel(0, step, parse_choice(c_str(kernel)), &prepared, &status)) raise(status);

  const size_t words = words_of(channels), row_words = in_w * words;
  Constants constants{};
  constants.slot[kWeights] = weights.data();
  const std::vector<float> unused(size_t(shape.out_c));  // the sums have constants of their own
  constants.slot[kScale] = constants.slot[kBias] = unused.data();
  Out<int32_t> sums =
      new_array<int32_t>({size_t(shape.out_h), size_t(shape.out_w), size_t(shape.out_c)});
  nb::gil_scoped_release release;
  Memory tiled;
  Tensors framed;
  SumsStep sums_step;
  if (!prepare_owned(constants, &prepared, &tiled) || !framed.make_input(step, in_h) ||
      !sums_step.make(prepared)) {
    throw std::bad_alloc();
  }
  for (int y = 0; y < in_h; ++y) {
    std::memcpy(framed.rows().bits.row(y) + shape.border() * words, input.data() + y * row_words,
                row_words * sizeof(uint64_t));
  }
  if (!sums_step.run(framed.as_input(), sums.data())) throw std::bad_alloc();
  return sums;
}

// Checks a whole file; returns (number of steps, whether it has constants).
nb::tuple check_bnn(const nb::bytes& data) {
  BnnFile file;
  Status status;
  if (!file.parse(data.data(), data.size(), &status)) raise(status);
  return nb::make_tuple(file.steps(), file.has_constants());
}

// A network and the lock that keeps two Python threads out of one arena.
class PyNetwork {
 public:
  PyNetwork(const nb::bytes& data, const std::optional<std::string>& kernel, int threads) {
    Status status;
    LoadOptions options;
    options.kernel = c_str(kernel);
    options.threads = threads;
    network_ = Network::load(data.data(), data.size(), options, &status);
    if (!network_) raise(status);
  }

  nb::tuple image_shape() const {
    const ConvShape& s = network_->step(0).step.shape;
    return nb::make_tuple(s.in_h, s.in_w, s.in_c);
  }
  size_t arena_bytes() const { return network_->arena_bytes(); }
  int threads() const { return network_->threads(); }

  nb::list kernels() const {
    nb::list names;
    for (int i = 0; i < network_->steps(); ++i) names.append(kernel_name(i));
    return names;
  }

  // images [N, H, W, C] -> [N, out_h, out_w, out_c], one after another (batch 1 is the engine's
  // unit)
  Out<float> run(const In<float, 4>& images) {
    check_image(images.shape(1), images.shape(2), images.shape(3));
    const ConvShape& s = last().shape;
    Out<float> results =
        new_array<float>({images.shape(0), size_t(s.out_h), size_t(s.out_w), size_t(s.out_c)});
    nb::gil_scoped_release release;
    const std::lock_guard<std::mutex> guard(lock_);
    for (size_t i = 0; i < images.shape(0); ++i) {
      network_->run(images.data() + i * network_->image_values(),
                    results.data() + i * network_->result_values());
    }
    return results;
  }

  // image [H, W, C] -> one dict for each step: kind, kernel, sums, values, bits. Step by step on
  // whole tensors, with the network's own kernels.
  nb::list trace(const In<float, 3>& image) {
    check_image(image.shape(0), image.shape(1), image.shape(2));
    std::vector<Traced> traced;
    for (int i = 0; i < network_->steps(); ++i) traced.push_back(room_for(i));
    {
      nb::gil_scoped_release release;
      Tensors before, out;
      if (!before.make_input(network_->step(0).step, int(image.shape(0)))) throw std::bad_alloc();
      std::memcpy(before.rows().values.base, image.data(), image.size() * sizeof(float));
      for (int i = 0; i < network_->steps(); ++i, before = std::move(out)) {
        trace_step(network_->step(i), before.as_input(), &out, &traced[i]);
      }
    }
    nb::list rows;
    for (int i = 0; i < network_->steps(); ++i) rows.append(row_of(i, traced[i]));
    return rows;
  }

 private:
  // What one step wrote: sums [out_h, out_w, out], values [out_h, out_w, out], bits [out_h, out_w,
  // words], each if the step writes it.
  struct Traced {
    std::optional<Out<int32_t>> sums;
    std::optional<Out<float>> values;
    std::optional<Out<uint64_t>> bits;
  };

  const Step& last() const { return network_->step(network_->steps() - 1).step; }

  std::string kernel_name(int index) const {
    char text[96];
    network_->step(index).kernel_name(text, sizeof text);
    return text;
  }

  void check_image(size_t height, size_t width, size_t channels) const {
    const ConvShape& s = network_->step(0).step.shape;
    require(height == size_t(s.in_h) && width == size_t(s.in_w) && channels == size_t(s.in_c),
            "expected images of " + std::to_string(s.in_h) + "x" + std::to_string(s.in_w) + "x" +
                std::to_string(s.in_c) + ", got " + std::to_string(height) + "x" +
                std::to_string(width) + "x" + std::to_string(channels));
  }

  // Needs the GIL, as everything that makes Python objects.
  Traced room_for(int index) const {
    const Step& step = network_->step(index).step;
    const size_t out_h = step.shape.out_h, out_w = step.shape.out_w, out_c = step.shape.out_c;
    Traced traced;
    if (step.kind == StepKind::kBconv2d) traced.sums = new_array<int32_t>({out_h, out_w, out_c});
    if (step.float_out) traced.values = new_array<float>({out_h, out_w, out_c});
    if (step.bits_out) {
      traced.bits = new_array<uint64_t>({out_h, out_w, size_t(words_of(step.shape.out_c))});
    }
    return traced;
  }

  // Needs no GIL.
  static void trace_step(const PreparedStep& prepared, const StepInput& in, Tensors* out,
                         Traced* traced) {
    const Step& step = prepared.step;
    OwnScratch scratch;
    SumsStep sums;
    if (!out->make_output(step) || !scratch.make(step, in)) throw std::bad_alloc();
    run_step(prepared, in, out->rows(), scratch.get());
    if (traced->sums && !(sums.make(prepared) && sums.run(in, traced->sums->data()))) {
      throw std::bad_alloc();
    }
    if (traced->values) {
      std::memcpy(traced->values->data(), out->rows().values.base,
                  step.out_elements() * sizeof(float));
    }
    if (traced->bits) copy_inner_bits(step, out->rows().bits, traced->bits->data());
  }

  nb::dict row_of(int index, const Traced& traced) const {
    nb::dict row;
    row["kind"] = step_kind_name(network_->step(index).step.kind);
    row["kernel"] = kernel_name(index);
    row["sums"] = traced.sums ? nb::cast(*traced.sums) : nb::none();
    row["values"] = traced.values ? nb::cast(*traced.values) : nb::none();
    row["bits"] = traced.bits ? nb::cast(*traced.bits) : nb::none();
    return row;
  }

  // The packed output without its border: [out_h, out_w, words]
  static void copy_inner_bits(const Step& step, const Rows<uint64_t>& framed, uint64_t* bits) {
    const size_t words = words_of(step.shape.out_c), row_words = step.shape.out_w * words;
    for (int y = 0; y < step.shape.out_h; ++y) {
      std::memcpy(bits + y * row_words, framed.row(y) + step.border * words,
                  row_words * sizeof(uint64_t));
    }
  }

  std::unique_ptr<Network> network_;
  std::mutex lock_;
};

}  // namespace
}  // namespace bnn

NB_MODULE(_native, module) {
  using namespace bnn;
  module.def("build_info", &build_info);
  module.def("isas", &isas);
  module.def("kernels", &kernels);
  module.def("pack_bits", &pack_bits, "x"_a.noconvert());
  module.def("unpack_bits", &unpack_bits, "words"_a.noconvert(), "channels"_a);
  module.def("bconv2d", &bnn::bconv2d, "input"_a.noconvert(), "weights"_a.noconvert(), "channels"_a,
             "stride"_a, "groups"_a, "kernel"_a.none());
  module.def("check_bnn", &check_bnn, "data"_a);
  nb::class_<PyNetwork>(module, "Network")
      .def(nb::init<const nb::bytes&, const std::optional<std::string>&, int>(), "data"_a,
           "kernel"_a.none(), "threads"_a)
      .def_prop_ro("image_shape", &PyNetwork::image_shape)
      .def_prop_ro("arena_bytes", &PyNetwork::arena_bytes)
      .def_prop_ro("threads", &PyNetwork::threads)
      .def_prop_ro("kernels", &PyNetwork::kernels)
      .def("run", &PyNetwork::run, "images"_a.noconvert())
      .def("trace", &PyNetwork::trace, "image"_a.noconvert());
}
