// Every text that a wrong manifest can meet, word for word.
#include <gtest/gtest.h>

#include "manifest/reader.hpp"

namespace vrun::manifest {
namespace {

// A document of each kind, whose lines from 4 on are the case's.
constexpr const char* kGuest = "apiVersion: vrun/v1\nkind: Guest\nname: web\n";
constexpr const char* kJob = "apiVersion: vrun/v1\nkind: Job\nname: job\nimage: base\n";
constexpr const char* kNet = "apiVersion: vrun/v1\nkind: Network\nname: net\n";
constexpr const char* kSecret = "apiVersion: vrun/v1\nkind: Secret\nname: s\n";
constexpr const char* kGroup = "apiVersion: vrun/v1\nkind: Group\nname: g\n";

struct Case {
  const char* head;
  const char* body;
  const char* wanted;  // all lines
};

std::string faults_of(const std::string& text, const std::vector<std::string>& settings = {}) {
  const std::vector<Source> sources{{"f", text}};
  std::string lines;
  for (const Fault& fault : read_manifest(sources, settings).faults)
    lines += fault.line() + "\n";
  return lines;
}

const Case kCases[] = {
    // documents
    {"", "", "f: has no documents\n"},
    {"", "- a\n", "f:1:1: a document should be a map, is a list\n"},
    {"", "a: [1\n", "f:2:1: not YAML: end of sequence flow not found\n"},
    {"", "name: a\n",
     "f:1:1: field apiVersion is missing: vrun/v1\nf:1:1: field kind is missing\n"},
    {"", "apiVersion: vrun/v2\nkind: Guest\nname: a\nimage: b\n",
     "f:1:13: apiVersion: 'vrun/v2' should be vrun/v1\n"},
    {"", "apiVersion: v1\nkind: Guest\nname: a\nimage: b\n",
     "f:1:13: apiVersion: 'v1' should be vrun/v1; `vrun convert` reads Kubernetes files\n"},
    {"", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {}\n",
     "f:1:13: apiVersion: 'apps/v1': a Kubernetes file is no manifest of vrun: `vrun convert -f f` "
     "makes one of it\n"},
    {"", "services:\n  web: {image: b}\n",
     "f:2:3: a Compose file is no manifest of vrun: `vrun convert -f f` makes one of it\n"},
    {"", "apiVersion: vrun/v1\nkind: Gest\n",
     "f:2:7: kind: 'Gest' is unknown, did you mean Guest?\n"},
    {"", "apiVersion: vrun/v1\nkind: Elephant\n", "f:2:7: kind: 'Elephant' is unknown\n"},
    {"", "apiVersion: vrun/v1\nkind: Guest\nimage: b\n", "f:1:1: guests: field name is missing\n"},
    {"", "apiVersion: vrun/v1\nkind: Guest\nnam: web\nimage: b\ncomand: [sh]\n",
     "f:1:1: guests: field name is missing\n"
     "f:3:1: guests: unknown field 'nam', did you mean name?\n"
     "f:5:1: guests: unknown field 'comand', did you mean command?\n"},
    {"", "apiVersion: vrun/v1\nkind: Guest\nname: [a]\nimage: b\n",
     "f:3:7: guests: name should be text\n"},
    {"", "apiVersion: vrun/v1\nkind: Guest\nname: ''\nimage: b\n",
     "f:3:7: guests: a name is empty\n"},
    {"", "apiVersion: vrun/v1\nkind: Guest\nname: ../a\nimage: b\n",
     "f:3:7: guests: '../a' is no name: letters, digits, '-', '_' and '.', a letter or digit "
     "first\n"},
    {kGuest, "image: b\n---\napiVersion: vrun/v1\nkind: Guest\nname: web\nimage: b\n",
     "f:8:7: guests.web: is described twice, first in f:1\n"},
    {kGuest, "metadata: {}\nimage: b\n",
     "f:4:1: guests.web: unknown field 'metadata': fields stand beside kind and name; `vrun "
     "convert` reads Kubernetes files\n"},
    // fields
    {kGuest, "", "f:1:1: guests.web: field image is missing\n"},
    {kGuest, "imagee: b\n", "f:4:1: guests.web: unknown field 'imagee', did you mean image?\n"},
    {kGuest, "image:\n", "f:4:1: guests.web.image: is empty\n"},
    {kGuest, "image: b\nimgae: c\n",
     "f:5:1: guests.web: unknown field 'imgae', did you mean image?\n"},
    {kGuest, "image: b\nxyzzy: c\n", "f:5:1: guests.web: unknown field 'xyzzy'\n"},
    {kGuest, "image: b\nimage: c\n", "f:5:1: key 'image' stands here again, first in line 4\n"},
    {kGuest, "image: [b]\n", "f:4:8: guests.web.image: should be text, is a list\n"},
    {kGuest, "image: {a: b}\n", "f:4:8: guests.web.image: should be text, is a map\n"},
    {kGuest, "image: b\nargs: sleep\n",
     "f:5:7: guests.web.args: should be a list of texts, is one value\n"},
    {kGuest, "image: b\nargs: [[a]]\n", "f:5:8: guests.web.args[0]: should be text, is a list\n"},
    {kGuest, "image: b\nlabels: [a]\n",
     "f:5:9: guests.web.labels: should be a map of texts, is a list\n"},
    {kGuest, "image: b\nlabels: {'a=b': c}\n",
     "f:5:10: guests.web.labels: 'a=b' cannot be a name here\n"},
    {kGuest, "image: b\nenv: [A]\n", "f:5:7: guests.web.env[0]: 'A' is not NAME=VALUE\n"},
    {kGuest, "image: b\nenv: [A=1, A=2]\n", "f:5:12: guests.web.env[1]: 'A' is here twice\n"},
    {kGuest, "image: b\nenv: 5\n",
     "f:5:6: guests.web.env: should be a map of texts, or a list of NAME=VALUE, is one value\n"},
    {kGuest, "image: b\nlimits: 5\n", "f:5:9: guests.web.limits: should be a map, is one value\n"},
    {kGuest, "image: b\nsecrets: {name: a}\n",
     "f:5:10: guests.web.secrets: should be a list of maps, is a map\n"},
    {kGuest, "image: b\nsecrets: [{}]\n", "f:5:11: guests.web.secrets[0]: field name is missing\n"},
    {kGuest, "image: b\n? [a]\n: b\n",
     "f:5:3: a key is a list\nf:5:3: guests.web: unknown field ''\n"},
    // values
    {kGuest, "image: b\ntty: yes\n",
     "f:5:6: guests.web.tty: 'yes' should be true or false, plain and without quotes\n"},
    {kGuest, "image: b\ntty: \"true\"\n",
     "f:5:6: guests.web.tty: 'true' should be true or false, plain and without quotes\n"},
    {kGuest, "image: b\ntty: maybe\n", "f:5:6: guests.web.tty: 'maybe' should be true or false\n"},
    {kGuest, "image: b\nlimits: {memory: 5x}\n",
     "f:5:18: guests.web.limits.memory: '5x' is not a size such as 64m\n"},
    {kGuest, "image: b\nlimits: {memory: -1}\n",
     "f:5:18: guests.web.limits.memory: '-1' is not a size such as 64m\n"},
    {kGuest, "image: b\nlimits: {cpus: half}\n",
     "f:5:16: guests.web.limits.cpus: 'half' is not a number such as 0.5\n"},
    {kGuest, "image: b\nlimits: {pids: many}\n",
     "f:5:16: guests.web.limits.pids: 'many' is not a whole number\n"},
    {kGuest, "image: b\nlimits: {pids: 0}\n",
     "f:5:16: guests.web.limits.pids: 0 is not from 1 to 4194304\n"},
    {kGuest, "image: b\nlimits: {cpuWeight: 20000}\n",
     "f:5:21: guests.web.limits.cpuWeight: 20000 is not from 1 to 10000\n"},
    {kGuest, "image: b\nlimits: {memroy: 5m}\n",
     "f:5:10: guests.web.limits: unknown field 'memroy', did you mean memory?\n"},
    {kGuest, "image: b\nstopTimeout: soon\n",
     "f:5:14: guests.web.stopTimeout: 'soon' is not a time such as 1m30s\n"},
    {kGuest, "image: b\nstopTimeout: 5d\n",
     "f:5:14: guests.web.stopTimeout: '5d' is not a time such as 1m30s\n"},
    {kGuest, "image: b\nworkdir: srv\n",
     "f:5:10: guests.web.workdir: 'srv' is not an absolute path\n"},
    {kGuest, "image: b\nports: [80:http]\n",
     "f:5:9: guests.web.ports[0]: '80:http' is not a port such as 8080:80\n"},
    {kGuest, "image: b\nports: [99999]\n",
     "f:5:9: guests.web.ports[0]: '99999' is not a port such as 8080:80\n"},
    {kGuest, "image: b\nports: [80/sctp]\n",
     "f:5:9: guests.web.ports[0]: '80/sctp' is not a port such as 8080:80\n"},
    {kGuest, "image: b\nisolation: vn\n",
     "f:5:12: guests.web.isolation: 'vn' should be container, system or vm, did you mean vm?\n"},
    {kGuest, "image: b\nreplicas: 1001\n",
     "f:5:11: guests.web.replicas: 1001 is not from 0 to 1000\n"},
    {kGuest, "image: b\nprobes: {liveness: {}}\n",
     "f:5:20: guests.web.probes.liveness: should say one of exec, http and tcp\n"},
    {kGuest, "image: b\nprobes: {liveness: {tcp: {}}}\n",
     "f:5:26: guests.web.probes.liveness.tcp: field port is missing\n"},
    {kGuest, "image: b\nprobes: {liveness: {tcp: {port: 0}}}\n",
     "f:5:33: guests.web.probes.liveness.tcp.port: '0' is not a port from 1 to 65535\n"},
    {kJob, "replicas: 2\n", "f:5:1: jobs.job: unknown field 'replicas'\n"},
    {kNet, "mtu: 5\n", "f:4:6: networks.net.mtu: 5 is not from 1280 to 65535\n"},
    // references
    {kGuest, "image: b\nnetwork: bakc\n---\napiVersion: vrun/v1\nkind: Network\nname: back\n",
     "f:5:10: guests.web.network: there is no Network 'bakc', did you mean back?\n"},
    {kGuest, "image: b\nnetwork: container:db\n",
     "f:5:10: guests.web.network: there is no Guest 'db'\n"},
    {kSecret, "data: {../../out: x}\n",
     "f:4:8: secrets.s.data: '../../out' is no name of a file: it may hold no '/'\n"},
    {kSecret, "data: {'..': x, ok: y, .: z}\n",
     "f:4:8: secrets.s.data: '..' is no name of a file: it may hold no '/'\n"
     "f:4:24: secrets.s.data: '.' is no name of a file: it may hold no '/'\n"},
    {kSecret, "files: {/etc/shadow: x}\n",
     "f:4:9: secrets.s.files: '/etc/shadow' is no name of a file: it may hold no '/'\n"},
    {kSecret, "data: {..data: x, .hidden: y, ...: z}\n", ""},
    {kGuest, "image: b\nworkdir: /srv/../../out\n",
     "f:5:10: guests.web.workdir: '/srv/../../out' has '..' in it\n"},
    {kGuest, "image: b\nsecrets: [{name: key}]\n",
     "f:5:18: guests.web.secrets[0].name: there is no Secret 'key'\n"},
    {kGuest, "image: b\nvolumes: ['data:/d']\n",
     "f:5:11: guests.web.volumes[0]: there is no Volume 'data'\n"},
    {kGuest, "image: b\ndependsOn: {db: started}\n",
     "f:5:13: guests.web.dependsOn.db: there is no guest or job 'db'\n"},
    {kGuest, "image: b\ndependsOn: {web: started}\n",
     "f:5:12: guests.web.dependsOn: a circle: web -> web\n"},
    {kGuest,
     "image: b\ndependsOn: {job: healthy}\n---\napiVersion: vrun/v1\nkind: Job\nname: job\nimage: "
     "b\n",
     "f:5:18: guests.web.dependsOn.job: 'job' has no probes, so it is never healthy\n"},
    {kGroup, "guests: [{name: a, image: b}, {name: a, image: c}]\n",
     "f:4:31: groups.g.guests[1]: guest 'g-a' is here twice\n"},
    {kGroup, "guests: [{image: b}]\n", "f:4:10: groups.g.guests[0]: field name is missing\n"},
};

TEST(Faults, every_one_is_said_with_its_place_and_its_words) {
  for (const Case& one : kCases) {
    const std::string text = std::string(one.head) + one.body;
    EXPECT_EQ(faults_of(text), one.wanted) << text;
  }
  EXPECT_GE(std::size(kCases), 60U);
}

TEST(Faults, all_of_them_at_once_in_the_order_of_the_file) {
  EXPECT_EQ(faults_of(std::string(kGuest) + "imgae: b\nlimits: {memory: x}\ntty: on\n"),
            "f:4:1: guests.web: unknown field 'imgae', did you mean image?\n"
            "f:5:18: guests.web.limits.memory: 'x' is not a size such as 64m\n"
            "f:6:6: guests.web.tty: 'on' should be true or false, plain and without quotes\n");
}

struct SetCase {
  const char* setting;
  const char* wanted;
};
const SetCase kSetCases[] = {
    {"web", "--set web: is not PATH=VALUE\n"},
    {"gests.web.tty=true", "--set gests.web.tty=true: 'gests' is no kind, did you mean guests?\n"},
    {"guests.wbe.tty=true",
     "--set guests.wbe.tty=true: there is no Guest 'wbe' with a field behind it, did you mean "
     "web?\n"},
    {"guests.web.image.a=1",
     "--set guests.web.image.a=1: 'a' is looked for in what is one value\n"},
    {"guests.web.args[1]=a", "--set guests.web.args[1]=a: the list has no place 1\n"},
    {"guests.web.args[x]=a",
     "--set guests.web.args[x]=a: '[x]' is no place of a list such as [0]\n"},
    {"guests.web..=a", "--set guests.web..=a: a field without a name\n"},
    {"guests.web.replcas=2",
     "--set guests.web.replcas: guests.web: unknown field 'replcas', did you mean replicas?\n"},
    {"guests.web.limits.pids=x",
     "--set guests.web.limits.pids: guests.web.limits.pids: 'x' is not a whole number\n"},
    {"guests.web.args=[a",
     "--set guests.web.args=[a: its value: not YAML: end of sequence flow not found\n"},
};

TEST(Faults, of_settings_name_the_setting) {
  for (const SetCase& one : kSetCases)
    EXPECT_EQ(faults_of(std::string(kGuest) + "image: b\n", {one.setting}), one.wanted);
}

}  // namespace
}  // namespace vrun::manifest
