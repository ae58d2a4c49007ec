# Debian packages, for tools/demo and tools/test. Sourced, not run.

# What the build needs.
BUILD_PACKAGES=(
  build-essential cmake ninja-build pkg-config git
  busybox-static
  libarchive-dev libcap-dev libmd-dev libnl-3-dev libnl-route-3-dev libprotobuf-dev libseccomp-dev libspdlog-dev
  libssl-dev libsystemd-dev protobuf-compiler rapidjson-dev
  libbenchmark-dev libgmock-dev libgtest-dev
  libcurl4-openssl-dev libisal-dev libyaml-cpp-dev libzstd-dev
  liblz4-dev liblzma-dev zlib1g-dev
  libnftables-dev
)

# Installs what is missing of the named packages; without the network when nothing is.
install_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "packages: all $# there"
    return 0
  fi
  echo "packages: installing ${missing[*]}"
  if [ "$(id -u)" != 0 ]; then
    echo "packages: installing needs root; run this with sudo" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  local log
  log=$(mktemp /tmp/vrun-apt.XXXXXX)
  local apt=(apt-get -y -q -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}")
  "${apt[@]}" >"$log" 2>&1 && { rm -f "$log"; return 0; }
  # The lists of a fresh machine are empty or old.
  { apt-get -q update && "${apt[@]}"; } >"$log" 2>&1 && { rm -f "$log"; return 0; }
  tail -n 20 "$log" >&2
  echo "packages: apt-get failed (whole output: $log)" >&2
  return 1
}

# What the tests need besides: engines and peers as Debian has them, the lab, the fuzzers.
TEST_PACKAGES=(
  python3 python3-pytest gcc-multilib
  runc crun podman conmon buildah containerd docker.io criu uidmap strace jq iproute2 procps util-linux
  golang-github-containers-common golang-github-containers-image
  qemu-system-x86 qemu-system-common qemu-utils linux-image-cloud-amd64 kmod apparmor systemd
  clang libclang-rt-14-dev ccache
  passt slirp4netns
  cpio
  btrfs-progs xfsprogs
  debootstrap
  prometheus  # promtool
  nodejs openjdk-17-jre-headless  # they see the limits
  python3-jsonschema
  apache2-utils docker-registry openssl skopeo umoci zstd nftables xz-utils
)
