#include "network/firewall.hpp"

#include <cerrno>
#include <chrono>

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>

#include "base/helper.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "network/netlink.hpp"

namespace vrun::network {
namespace {

// nft's sets of interface names compare all 16 bytes.
std::string padded_name(const std::string& name) {
  std::string bytes = name;
  bytes.resize(IFNAMSIZ);
  return bytes;
}

std::string_view first_line(std::string_view text) {
  return trim(text.substr(0, text.find('\n')));
}

}  // namespace

Result<bool> rules_cover(const std::string& bridge) {
  Netlink netlink = TRY(Netlink::open(NETLINK_NETFILTER));
  nfgenmsg about{};
  about.nfgen_family = NFPROTO_INET;
  constexpr auto kAsk =
      static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8U) | NFT_MSG_GETSETELEM);
  Request request(kAsk, NLM_F_ACK, about);
  request.add_text(NFTA_SET_ELEM_LIST_TABLE, "vrun");
  request.add_text(NFTA_SET_ELEM_LIST_SET, "bridges");
  const std::size_t elements = request.begin(NFTA_SET_ELEM_LIST_ELEMENTS | NLA_F_NESTED);
  const std::size_t one = request.begin(NFTA_LIST_ELEM | NLA_F_NESTED);
  const std::size_t key = request.begin(NFTA_SET_ELEM_KEY | NLA_F_NESTED);
  request.add(NFTA_DATA_VALUE, padded_name(bridge));
  request.end(key);
  request.end(one);
  request.end(elements);
  auto asked = netlink.request(request, "look for the rules of bridge " + quote(bridge));
  if (asked) return true;
  if (asked.error().sys_errno() == ENOENT) return false;
  return std::move(asked).error().hint("vrun needs nftables in the kernel (CONFIG_NF_TABLES)");
}

Result<void> apply_rules(const std::string& text) {
  const std::string helper = TRY(helper_path("vrun-net"));
  const Finished finished = TRY(run({.path = helper,
                                     .argv = {"vrun-net"},
                                     .env = {},
                                     .input = text,
                                     .timeout = std::chrono::seconds(60),
                                     .keep = {},
                                     .cwd = {}}));
  if (finished.exit.code() == 0) return {};
  return Error(Code::kSystem, "set the rules of table inet vrun")
      .detail(std::string(first_line(finished.output)))
      .hint("vrun doctor checks whether this kernel has the parts of nftables that networks need");
}

}  // namespace vrun::network
