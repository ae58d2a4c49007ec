// A writer for the few words of ACPI machine language that describe our machine (ACPI 6.4, 20).
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace vrun::vmm::aml {

// Terms are byte strings; they nest by being put into each other.
using Term = std::string;

Term number(std::uint64_t value);
Term text(std::string_view value);
Term eisa_id(std::string_view id);  // "PNP0A08"
Term path(std::string_view name);   // "\_SB_.PWRB" or "ABCD"
Term scope(std::string_view name, std::string_view content);
Term device(std::string_view name, std::string_view content);
Term named(std::string_view name, std::string_view value);
Term package(std::initializer_list<Term> elements);
Term method(std::string_view name, int arguments, std::string_view content);
Term when(std::string_view condition, std::string_view content);
Term notify(std::string_view object, std::uint64_t value);
Term arg(int index);
Term local(int index);
Term store(std::string_view value, std::string_view target);
Term both(std::string_view a, std::string_view b);  // And(a, b)
Term equal(std::string_view a, std::string_view b);
// A region of ports and one byte-wide field in it.
Term port_byte(std::string_view region, std::string_view field, std::uint16_t port);
// A region of ports with fields of 32 bits behind each other.
Term port_words(std::string_view region, std::uint16_t port,
                std::initializer_list<std::string_view> fields);

// Resource descriptors; resources() makes the buffer of them.
Term resources(std::initializer_list<Term> descriptors);
Term io_ports(std::uint16_t first, std::uint8_t count);
Term interrupt(std::uint32_t line);  // edge, active high, our own
Term fixed_memory(std::uint32_t first, std::uint32_t size);
Term bus_numbers(std::uint16_t first, std::uint16_t last);
Term memory_window(std::uint32_t first, std::uint32_t size);

}  // namespace vrun::vmm::aml
