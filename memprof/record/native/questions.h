// What Python asks of the ledger, and the rows that it takes from it.
#pragma once

#include <Python.h>

#include <array>
#include <cstring>
#include <unordered_set>

#include "labels.h"

namespace memprof {

inline c10::StorageImpl* storage_at(PyObject* address) {
  return static_cast<c10::StorageImpl*>(PyLong_AsVoidPtr(address));
}

// Runs `work` with the ledger to itself and up to date.
template <typename Work>
auto with_ledger(Work work) {
  Ledger& book = ledger();
  std::unique_lock<std::mutex> lock(book.mutex, std::try_to_lock);
  if (!lock) {  // the journal is at it, and does not need the interpreter for that
    Py_BEGIN_ALLOW_THREADS lock.lock();
    Py_END_ALLOW_THREADS
  }
  book.drain();
  return work(book);
}

// Whether somebody reported the memory at an address, such as that which processes share.
inline bool is_reported(Address address) {
  return with_ledger([&](Ledger& book) { return book.live.find(address) != nullptr; });
}

// since(born, bytes, died) -> the same three of the calling thread, counted from there
inline PyObject* py_since(PyObject*, PyObject* const* args, Py_ssize_t) {
  const Thread& here = this_thread();
  return Py_BuildValue("(LLL)", here.born - PyLong_AsLongLong(args[0]),
                       here.born_bytes - PyLong_AsLongLong(args[1]),
                       here.died - PyLong_AsLongLong(args[2]));
}

// known(storage) -> (id, bytes, labels, name, module) or None
inline PyObject* py_known(PyObject*, PyObject* storage) {
  const Address address = memory_of(storage_at(storage));
  Block found;
  with_ledger([&](Ledger& book) {
    if (Block* block = address ? book.live.find(address) : nullptr) {
      found = *block;
    }
  });
  if (found.id < 0) {
    Py_RETURN_NONE;
  }
  return Py_BuildValue("(LLIii)", found.id, found.bytes, found.labels, found.name, found.module);
}

// alive_since(id) -> [(id, labels)] of what lives and was allocated from `id` on
inline PyObject* py_alive_since(PyObject*, PyObject* first) {
  const int64_t from = PyLong_AsLongLong(first);
  std::vector<std::pair<int64_t, uint32_t>> found;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      if (block.id >= from) {
        found.emplace_back(block.id, block.labels);
      }
    });
  });
  PyObject* list = PyList_New(Py_ssize_t(found.size()));
  for (size_t i = 0; list && i < found.size(); ++i) {
    PyObject* pair = Py_BuildValue("(LI)", found[i].first, found[i].second);
    PyList_SET_ITEM(list, Py_ssize_t(i), pair);
  }
  return list;
}

// unlabelled_like(kind) -> whether a block without a label has the size of one of a kind, or half or
// twice that
inline PyObject* py_unlabelled_like(PyObject*, PyObject* kind) {
  const auto label = uint32_t(PyLong_AsUnsignedLong(kind));
  std::unordered_set<int64_t> sizes;
  bool any = false;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      if (block.labels >> label & 1) {
        sizes.insert({block.bytes / 2, block.bytes, block.bytes * 2});
      }
    });
    book.live.each([&](const Block& block) { any |= !block.labels && sizes.count(block.bytes); });
  });
  return PyBool_FromLong(any);
}

// any_without(labels, least, before) -> whether a block of at least so many bytes, with an id below
// `before`, has none of some labels
inline PyObject* py_any_without(PyObject*, PyObject* const* args, Py_ssize_t) {
  const auto labels = uint32_t(PyLong_AsUnsignedLong(args[0]));
  const int64_t least = PyLong_AsLongLong(args[1]), before = PyLong_AsLongLong(args[2]);
  bool any = false;
  with_ledger([&](Ledger& book) {
    book.live.each([&](const Block& block) {
      any |= block.bytes >= least && block.id < before && !(block.labels & labels);
    });
  });
  return PyBool_FromLong(any);
}

inline PyObject* py_next_id(PyObject*, PyObject*) {
  return PyLong_FromLongLong(with_ledger([](Ledger& book) { return book.next_id++; }));
}

using Rows = std::vector<Row>;

inline PyObject* room_for(const Rows& rows) {
  return PyBytes_FromStringAndSize(nullptr, Py_ssize_t(rows.size() * sizeof(Row)));
}

inline PyObject* list_of(const std::vector<Text>& fresh) {
  PyObject* list = PyList_New(Py_ssize_t(fresh.size()));
  for (size_t i = 0; list && i < fresh.size(); ++i) {
    const std::string& words = fresh[i].words;
    PyObject* text = PyUnicode_DecodeUTF8(words.data(), Py_ssize_t(words.size()), "replace");
    PyList_SET_ITEM(list, Py_ssize_t(i), Py_BuildValue("(iN)", int(fresh[i].kind), text));
  }
  return list;
}

// take() -> (allocations, events, labels, details, sequences, streams) as int64 rows, and (kind,
// text) of each text new since last time. Rows are copied without the interpreter, for which the
// program may be waiting.
inline PyObject* py_take(PyObject*, PyObject*) {
  std::array<Rows, 6> tables;
  std::vector<Text> fresh;
  Py_BEGIN_ALLOW_THREADS {
    Ledger& book = ledger();
    std::lock_guard<std::mutex> guard(book.mutex);
    book.drain();
    tables[0].swap(book.allocations);
    tables[1].swap(book.events);
    tables[2].swap(book.labels);
    tables[3].swap(book.details);
    tables[4].swap(book.sequences);
    tables[5].swap(book.streams);
    fresh = texts().take();
  }
  Py_END_ALLOW_THREADS
  std::array<PyObject*, 6> taken;
  for (size_t i = 0; i < tables.size(); ++i) {
    taken[i] = room_for(tables[i]);
    if (!taken[i]) {
      return nullptr;
    }
  }
  Py_BEGIN_ALLOW_THREADS {
    for (size_t i = 0; i < tables.size(); ++i) {
      std::memcpy(PyBytes_AS_STRING(taken[i]), tables[i].data(), tables[i].size() * sizeof(Row));
      Rows().swap(tables[i]);
    }
  }
  Py_END_ALLOW_THREADS
  return Py_BuildValue("(NNNNNNN)", taken[0], taken[1], taken[2], taken[3], taken[4], taken[5],
                       list_of(fresh));
}

// drain() -> how many events wait to be taken
inline PyObject* py_drain(PyObject*, PyObject*) {
  size_t waiting = 0;
  Py_BEGIN_ALLOW_THREADS {
    Ledger& book = ledger();
    std::lock_guard<std::mutex> guard(book.mutex);
    book.drain();
    waiting = book.events.size() / 2;
  }
  Py_END_ALLOW_THREADS
  return PyLong_FromSize_t(waiting);
}

// counts() -> how many rows wait, live bytes, and what went wrong
inline PyObject* py_counts(PyObject*, PyObject*) {
  return with_ledger([](Ledger& book) {
    return Py_BuildValue("{s:n,s:L,s:L,s:L,s:L}", "waiting", Py_ssize_t(book.events.size() / 2),
                         "live_bytes", book.live_bytes, "missed_frees", book.missed_frees,
                         "unknown_frees", book.unknown_frees, "lost", lost.load());
  });
}

}  // namespace memprof
