#include "vm/vmm/aml.hpp"

#include <cstddef>

namespace vrun::vmm::aml {
namespace {

void put(Term& out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    out.push_back(static_cast<char>(value >> (8 * i)));
}

Term byte(unsigned value) {
  return Term(1, static_cast<char>(value));
}

Term op(std::initializer_list<unsigned> bytes) {
  Term out;
  for (const unsigned value : bytes)
    out += byte(value);
  return out;
}

// PkgLength counts itself: one byte up to 63, else a lead byte with four bits and the rest behind.
Term with_length(std::string_view content) {
  Term out;
  if (content.size() + 1 < 64) {
    out = byte(static_cast<unsigned>(content.size() + 1));
  } else {
    for (unsigned more = 1; more <= 3; ++more) {
      const std::size_t whole = content.size() + 1 + more;
      if (whole >= std::size_t{1} << (4 + 8 * more)) continue;
      out = byte((more << 6) | static_cast<unsigned>(whole & 0xf));
      put(out, whole >> 4, static_cast<int>(more));
      break;
    }
  }
  return out.append(content);
}

}  // namespace

Term number(std::uint64_t value) {
  if (value <= 1) return byte(static_cast<unsigned>(value));
  Term out;
  if (value <= 0xff) {
    out = byte(0x0a);
    put(out, value, 1);
  } else if (value <= 0xffff) {
    out = byte(0x0b);
    put(out, value, 2);
  } else if (value <= 0xffffffff) {
    out = byte(0x0c);
    put(out, value, 4);
  } else {
    out = byte(0x0e);
    put(out, value, 8);
  }
  return out;
}

Term text(std::string_view value) {
  return byte(0x0d) + Term(value) + byte(0);
}

Term eisa_id(std::string_view id) {
  const auto hex = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'A' + 10); };
  const auto letter = [](char c) { return static_cast<unsigned>(c - 0x40) & 0x1f; };
  const unsigned word = (letter(id[0]) << 10) | (letter(id[1]) << 5) | letter(id[2]);
  Term out = byte(0x0c);
  out += byte(word >> 8);
  out += byte(word & 0xff);
  out += byte((hex(id[3]) << 4) | hex(id[4]));
  out += byte((hex(id[5]) << 4) | hex(id[6]));
  return out;
}

Term path(std::string_view name) {
  Term out;
  if (!name.empty() && name.front() == '\\') {
    out.push_back('\\');
    name.remove_prefix(1);
  }
  const std::size_t parts = (name.size() + 1) / 5;  // four letters each, dots between
  if (parts == 0) return out + byte(0);
  if (parts == 2) out += byte(0x2e);
  if (parts > 2) out += op({0x2f, static_cast<unsigned>(parts)});
  for (std::size_t i = 0; i < parts; ++i)
    out += name.substr(i * 5, 4);
  return out;
}

Term scope(std::string_view name, std::string_view content) {
  return byte(0x10) + with_length(path(name) + Term(content));
}

Term device(std::string_view name, std::string_view content) {
  return op({0x5b, 0x82}) + with_length(path(name) + Term(content));
}

Term named(std::string_view name, std::string_view value) {
  return byte(0x08) + path(name) + Term(value);
}

Term package(std::initializer_list<Term> elements) {
  Term content = byte(static_cast<unsigned>(elements.size()));
  for (const Term& element : elements)
    content += element;
  return byte(0x12) + with_length(content);
}

Term method(std::string_view name, int arguments, std::string_view content) {
  // 0x08: serialized, since ours touch ports.
  return byte(0x14) +
         with_length(path(name) + byte(static_cast<unsigned>(arguments) | 0x08) + Term(content));
}

Term when(std::string_view condition, std::string_view content) {
  return byte(0xa0) + with_length(Term(condition) + Term(content));
}

Term notify(std::string_view object, std::uint64_t value) {
  return byte(0x86) + path(object) + number(value);
}

Term arg(int index) {
  return byte(0x68 + static_cast<unsigned>(index));
}

Term local(int index) {
  return byte(0x60 + static_cast<unsigned>(index));
}

Term store(std::string_view value, std::string_view target) {
  return byte(0x70) + Term(value) + Term(target);
}

Term both(std::string_view a, std::string_view b) {
  return byte(0x7b) + Term(a) + Term(b) + byte(0);
}

Term equal(std::string_view a, std::string_view b) {
  return byte(0x93) + Term(a) + Term(b);
}

Term port_byte(std::string_view region, std::string_view field, std::uint16_t port) {
  const Term space = op({0x5b, 0x80}) + path(region) + byte(1) + number(port) + number(1);
  // Byte access, no lock, rest preserved; the field's length in bits is written like a PkgLength.
  return space + op({0x5b, 0x81}) + with_length(path(region) + byte(0x01) + Term(field) + byte(8));
}

Term port_words(std::string_view region, std::uint16_t port,
                std::initializer_list<std::string_view> fields) {
  Term list = path(region) + byte(0x03);  // double word access, no lock
  for (const std::string_view field : fields)
    list += Term(field) + byte(32);
  return op({0x5b, 0x80}) + path(region) + byte(1) + number(port) + number(4 * fields.size()) +
         op({0x5b, 0x81}) + with_length(list);
}

Term resources(std::initializer_list<Term> descriptors) {
  Term content;
  for (const Term& descriptor : descriptors)
    content += descriptor;
  content += op({0x79, 0x00});  // end tag, no checksum
  return byte(0x11) + with_length(number(content.size()) + content);
}

Term io_ports(std::uint16_t first, std::uint8_t count) {
  Term out = op({0x47, 0x01});  // decodes 16 bits
  put(out, first, 2);
  put(out, first, 2);
  put(out, 1, 1);
  put(out, count, 1);
  return out;
}

Term interrupt(std::uint32_t line) {
  Term out = op({0x89, 0x06, 0x00, 0x03, 0x01});  // extended, consumer, edge, one line
  put(out, line, 4);
  return out;
}

Term fixed_memory(std::uint32_t first, std::uint32_t size) {
  Term out = op({0x86, 0x09, 0x00, 0x01});
  put(out, first, 4);
  put(out, size, 4);
  return out;
}

Term bus_numbers(std::uint16_t first, std::uint16_t last) {
  Term out =
      op({0x88, 0x0d, 0x00, 0x02, 0x0c, 0x00});  // word, bus range, minimum and maximum fixed
  put(out, 0, 2);
  put(out, first, 2);
  put(out, last, 2);
  put(out, 0, 2);
  put(out, static_cast<std::uint64_t>(last - first) + 1, 2);
  return out;
}

Term memory_window(std::uint32_t first, std::uint32_t size) {
  Term out = op({0x87, 0x17, 0x00, 0x00, 0x0c, 0x01});  // double word, memory, writable
  put(out, 0, 4);
  put(out, first, 4);
  put(out, std::uint64_t{first} + size - 1, 4);
  put(out, 0, 4);
  put(out, size, 4);
  return out;
}

}  // namespace vrun::vmm::aml
