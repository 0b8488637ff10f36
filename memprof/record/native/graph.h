// What the autograd graph keeps for backward, and the leaves under it.
//
// The nodes' own Python getters `_raw_saved_*` hand out what is kept as it is, as references into
// the node. Where in the node that is, is the same for all nodes of one C++ type: it is asked once,
// and from then on read without Python. What a node keeps in a list is asked for every time.
#pragma once

#define AT_PER_OPERATOR_HEADERS
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/python_cpp_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <pybind11/pybind11.h>
#include <unordered_set>

#include "labels.h"

namespace py = pybind11;

namespace memprof {

using torch::autograd::AccumulateGrad;
using torch::autograd::Node;
using torch::autograd::SavedVariable;
using NodePointer = decltype(torch::autograd::Edge::function);

// What is the same for all nodes of one C++ type.
struct NodeType {
  std::vector<ptrdiff_t> offsets;
  std::vector<PyGetSetDef*> lists;
  int32_t name = 0;
  bool is_leaf = false;
};

inline std::unordered_map<const std::type_info*, NodeType>& node_types() {
  static auto* known = new std::unordered_map<const std::type_info*, NodeType>;
  return *known;
}

inline py::object python_node(const NodePointer& node) {
  return py::reinterpret_steal<py::object>(torch::autograd::functionToPyObject(node));
}

inline py::object got(const py::object& object, const PyGetSetDef* field) {
  auto value = py::reinterpret_steal<py::object>(field->get(object.ptr(), field->closure));
  if (!value) {  // freed by an earlier backward
    PyErr_Clear();
  }
  return value;
}

inline bool is_list(const py::object& value) {
  return PyTuple_Check(value.ptr()) || PyList_Check(value.ptr());
}

// Learns where nodes like this one keep things; none may have been freed yet.
inline NodeType learned(const NodePointer& node, PyObject* number_of) {
  NodeType type;
  const std::string name = node->name();
  type.is_leaf = name == "torch::autograd::AccumulateGrad";
  const py::object object = python_node(node);
  for (PyTypeObject* kind = Py_TYPE(object.ptr()); kind; kind = kind->tp_base) {
    for (PyGetSetDef* field = kind->tp_getset; field && field->name; ++field) {
      if (std::string_view(field->name).substr(0, 11) != "_raw_saved_") {
        continue;
      }
      const py::object value = got(object, field);
      if (!value || is_list(value)) {
        type.lists.push_back(field);
      } else if (!value.is_none()) {
        const auto* saved = &value.cast<const SavedVariable&>();
        type.offsets.push_back(reinterpret_cast<const char*>(saved) -
                               reinterpret_cast<const char*>(node.get()));
      }
    }
  }
  const auto number =
      py::reinterpret_steal<py::object>(PyObject_CallFunction(number_of, "s", name.c_str()));
  if (!number) {
    throw py::error_already_set();
  }
  type.name = int32_t(PyLong_AsLong(number.ptr()));
  return type;
}

// Walks the graph under some tensors and labels what it keeps.
class Walk {
 public:
  Walk(PyObject* number_of, uint32_t kind) : number_of_(number_of), kind_(kind) {}

  void under(const at::Tensor& root) {
    push(root.grad_fn());
    while (!waiting_.empty()) {
      Node* const node = waiting_.back();
      waiting_.pop_back();
      visit(*node);
      for (const auto& edge : node->next_edges()) {
        push(edge.function);
      }
    }
  }

  std::vector<at::Tensor> leaves;
  py::list strangers;

 private:
  void push(const NodePointer& node) {
    if (node && seen_.insert(node.get()).second) {
      waiting_.push_back(node.get());
    }
  }

  void visit(Node& node) {
    auto [known, fresh] = node_types().try_emplace(&typeid(node));
    NodeType& type = known->second;
    if (fresh) {
      type = learned(node.getptr(), number_of_);
    }
    if (type.is_leaf) {
      leaves.push_back(static_cast<const AccumulateGrad&>(node).variable);
    }
    for (const ptrdiff_t offset : type.offsets) {
      const char* place = reinterpret_cast<const char*>(&node) + offset;
      keep(*reinterpret_cast<const SavedVariable*>(place), type.name);
    }
    if (!type.lists.empty()) {
      visit_lists(python_node(node.getptr()), type);
    }
  }

  void visit_lists(const py::object& object, const NodeType& type) {
    for (const PyGetSetDef* field : type.lists) {
      const py::object value = got(object, field);
      if (value && is_list(value)) {
        for (py::handle item : value) {
          if (!item.is_none()) {
            keep(item.cast<const SavedVariable&>(), type.name);
          }
        }
      } else if (value && !value.is_none()) {
        keep(value.cast<const SavedVariable&>(), type.name);
      }
    }
  }

  void keep(const SavedVariable& saved, int32_t name) {
    // Hooked ones have no data here: what they keep is their hooks' affair.
    const auto data = saved.get_raw_data();
    if (!data || !data->defined() || data->is_meta()) {
      return;
    }
    if (here_.observed && plain_memory_of(*data)) {
      const auto* tensor = data->unsafeGetTensorImpl();
      append_label(here_, *tensor->unsafe_storage().unsafeGetStorageImpl(), tensor,
                   kind_ | kIfKnown, name, 0);
    } else {
      strangers.append(
          py::make_tuple(py::reinterpret_steal<py::object>(THPVariable_Wrap(*data)), name));
    }
  }

  PyObject* number_of_;
  const uint32_t kind_;
  Thread& here_ = this_thread();
  std::vector<Node*> waiting_;  // the roots keep them alive
  std::unordered_set<Node*> seen_{1024};
};

}  // namespace memprof
