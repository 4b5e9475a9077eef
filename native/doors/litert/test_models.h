// For tests: models of the nodes that an exporter writes, made from a .bnn file's steps and
// constants.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "doors/litert/pretend_runtime.h"
#include "engine/bnn_file.h"
#include "engine/invent.h"
#include "engine/network.h"

namespace bnn::litert {

// What a FlexBuffer map of integers holds, and its bytes; width: of its values and offsets, 2, 4
// or 8 bytes.
using FlexOptions = std::map<std::string, int64_t>;
std::vector<char> flexbuffer(const FlexOptions& options, int width = 4);

// Adds tensors and nodes; each returns the index of what it added, or of the node's output.
class ModelWriter {
 public:
  int tensor(TfLiteType type, std::vector<int> dims);
  int constant(TfLiteType type, std::vector<int> dims, const void* data);
  int custom(const char* name, std::vector<int> inputs, TfLiteType type, std::vector<int> dims,
             const FlexOptions& options);
  template <class Params>
  int builtin(int code, std::vector<int> inputs, std::vector<int> dims, const Params& params) {
    const char* bytes = reinterpret_cast<const char*>(&params);
    return add({code, "", std::move(inputs), {}, {bytes, bytes + sizeof params}}, kFloat32,
               std::move(dims));
  }
  // An operator whose options nobody reads.
  int builtin(int code, std::vector<int> inputs, std::vector<int> dims) {
    return add({code, "", std::move(inputs), {}, {}}, kFloat32, std::move(dims));
  }

  const std::vector<int>& dims(int tensor) const { return model.tensors[size_t(tensor)].dims; }
  Model model;

 private:
  int add(ModelNode node, TfLiteType type, std::vector<int> dims);
};

// How groups are written whose channels are no multiple of 32: padded, or as our own operator.
enum class SmallGroups { kPad, kNative };

struct NetworkModel {
  Model model;
  std::vector<int> steps;  // the float output of each step, if the model has it; else -1
  bool surplus = false;    // padding adds an odd number to a sum, which a bias takes off again
};

// The model of a network. False: it has a step that no nodes can say.
bool network_model(const BnnFile& file, SmallGroups small_groups, int batch, NetworkModel* made);

// Fills the inputs of a model, which has memory: floats in [-1, 1), others any bits.
void fill_inputs(const Model& model, uint64_t seed, Interpreter* runtime);

// What the engine gives for images that fill_inputs made with that seed.
std::vector<float> engine_result(Network* network, uint64_t seed, int batch);

}  // namespace bnn::litert
