#include "manifest/convert.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vrun::manifest {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

Converted convert_text(const std::string& text) {
  const std::vector<Source> sources{{"f", text}};
  return convert(sources);
}

TEST(Convert, a_compose_service_becomes_a_guest) {
  const Converted made = convert_text(
      "services:\n  web:\n    image: base\n    command: sh -c \"sleep 1\"\n    ports: ['80']\n"
      "    deploy: {replicas: 2, resources: {limits: {cpus: '0.5'}}}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_TRUE(made.notes.empty());
  EXPECT_EQ(made.text,
            "---\napiVersion: vrun/v1\nkind: Guest\nname: \"web\"\nimage: \"base\"\nargs:\n"
            "  - \"sh\"\n  - \"-c\"\n  - \"sleep 1\"\nreplicas: 2\nlimits:\n  cpus: \"0.5\"\n"
            "ports:\n  - \"80\"\nnetworkAliases:\n  - \"web\"\n");
}

TEST(Convert, what_compose_says_and_we_cannot_is_a_note) {
  const Converted made =
      convert_text("services:\n  web: {image: base, build: ., environment: [HOME]}\n");
  EXPECT_THAT(
      made.notes,
      ElementsAre("f:2:22: services.web.build: has no counterpart",
                  "f:2:46: services.web.environment.HOME: its value comes from the caller"));
}

TEST(Convert, what_becomes_of_init_containers_and_claims_is_said_as_it_is) {
  const Converted made = convert_text(
      "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n"
      "spec: {accessModes: [ReadWriteOnce], storageClassName: x}\n---\n"
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n"
      "  template:\n    spec:\n      initContainers: [{name: prep, image: base}]\n"
      "      containers: [{name: c, image: base, volumeMounts: [{name: d, mountPath: /d}]}]\n"
      "      volumes: [{name: d, persistentVolumeClaim: {claimName: data}}]\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(
      made.notes,
      ElementsAre(HasSubstr("PersistentVolumeClaim/data: becomes Volume 'data', without its "
                            "accessModes, storageClassName"),
                  HasSubstr("Deployment/web: becomes one Group, whose init guests are its "
                            "initContainers (prep): instead of 2 replicas there is one")));
  EXPECT_EQ(made.text.find("kind: Volume"), made.text.rfind("kind: Volume"));
  EXPECT_THAT(made.text, HasSubstr("kind: Volume"));
  EXPECT_THAT(made.text, HasSubstr("init:\n  - name: \"prep\""));
}

TEST(Convert, what_compose_says_of_networks_and_replicas_is_carried_over) {
  const Converted made = convert_text(
      "services:\n  web:\n    image: base\n    deploy: {replicas: 2}\n    ports: ['8080:80']\n"
      "    networks: [front, back]\n  db:\n    image: base\n    networks:\n"
      "      back: {ipv4_address: 10.9.0.5, aliases: [store]}\n"
      "networks:\n  front: {}\n  back: {ipam: {config: [{subnet: 10.9.0.0/24}]}}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.text, HasSubstr("networkAliases:\n  - \"web\"\n"));
  EXPECT_THAT(made.text, HasSubstr("network: \"front\"\nnetworks:\n  - \"back\"\n"));
  EXPECT_THAT(made.text, HasSubstr("ports:\n  - \"80\"\n"));
  EXPECT_THAT(made.text, HasSubstr("ip: \"10.9.0.5\""));
  EXPECT_THAT(made.text, HasSubstr("- \"store\""));
  EXPECT_THAT(made.text, HasSubstr("subnets:\n  - \"10.9.0.0/24\""));
  EXPECT_THAT(made.notes, ElementsAre(HasSubstr("'8080:80': replicas share no port")));
}

TEST(Convert, what_compose_says_of_limits_logs_and_namespaces_is_carried_over) {
  const Converted made = convert_text(
      "services:\n  db:\n    image: base\n  web:\n    image: base\n    ulimits: {nofile: {soft: "
      "10, "
      "hard: 20}, nproc: 5}\n    logging: {driver: local, options: {max-size: 1m}}\n"
      "    pid: service:db\n    userns_mode: host\n    oom_score_adj: 7\n    cpu_shares: 512\n"
      "    domainname: d\n    expose: ['80']\n    healthcheck: {disable: true}\n"
      "    volumes: [/data]\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_TRUE(made.notes.empty());
  for (const char* text :
       {"- \"nofile=10:20\"", "- \"nproc=5\"", "logDriver: \"local\"", "max-size: \"1m\"",
        "pid: \"container:db\"", "userns: \"host\"", "oomScoreAdj: 7", "cpuShares: 512",
        "domainname: \"d\"", "- \"80\"", "ofImage: false", "- \"/data\""})
    EXPECT_THAT(made.text, HasSubstr(text));
}

TEST(Convert, variables_and_secrets_of_compose_are_told) {
  const Converted made = convert_text(
      "services:\n  web:\n    image: base\n    secrets: [pw]\n    environment:\n"
      "      A: ${A:-one}\n      B: $$HOME\n      C: ${C}\n      D:\n"
      "    configs: [{source: site, target: /etc/site.conf}]\n"
      "secrets: {pw: {content: x}}\nconfigs: {site: {content: y}}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.text, HasSubstr("A: \"one\""));
  EXPECT_THAT(made.text, HasSubstr("B: \"$HOME\""));
  EXPECT_THAT(made.text, HasSubstr("target: \"/run/secrets\""));
  EXPECT_THAT(made.text, Not(HasSubstr("D:")));
  EXPECT_THAT(made.notes,
              UnorderedElementsAre(HasSubstr("'A': its default is taken"),
                                   HasSubstr("a variable of Compose's caller: '${C}'"),
                                   HasSubstr("environment.D: its value comes from the caller"),
                                   HasSubstr("/run/configs/site/site here, not '/etc/site.conf'")));
}

TEST(Convert, a_probe_of_kubernetes_finds_its_port_by_name) {
  const Converted made = convert_text(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n"
      "    image: base\n    ports: [{name: http, containerPort: 8080}]\n"
      "    readinessProbe: {httpGet: {port: http}}\n    livenessProbe: {grpc: {port: 9}}\n"
      "    startupProbe: {tcpSocket: {port: other}}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.text, HasSubstr("port: 8080"));
  EXPECT_THAT(made.text, Not(HasSubstr("liveness")));
  EXPECT_THAT(made.notes,
              UnorderedElementsAre(HasSubstr("livenessProbe.grpc: has no counterpart"),
                                   HasSubstr("livenessProbe: has no way"),
                                   HasSubstr("the container has no port called 'other'"),
                                   HasSubstr("startupProbe: has no way")));
}

TEST(Convert, kubernetes_objects_become_guests_groups_and_secrets) {
  const Converted made = convert_text(
      "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: aGVsbG8=}\n---\n"
      "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 3\n"
      "  template: {metadata: {labels: {a: b}}, spec: {nodeSelector: {x: y}, containers: [{name: "
      "c, "
      "image: base, resources: {limits: {cpu: 250m, memory: 64Mi}}}]}}\n---\n"
      "apiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {type: NodePort, selector: "
      "{a: "
      "b}, ports: [{port: 80, nodePort: 30080}]}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.text, HasSubstr("k: \"hello\""));
  EXPECT_THAT(made.text, HasSubstr("cpus: \"0.250\""));
  EXPECT_THAT(made.text, HasSubstr("memory: \"64MiB\""));
  EXPECT_THAT(made.text, HasSubstr("- \"80\""));
  EXPECT_THAT(made.text, HasSubstr("replicas: 3"));
  EXPECT_THAT(made.notes,
              ElementsAre(HasSubstr("spec.nodeSelector: has no counterpart"),
                          HasSubstr("replicas share no port of the host: instead of 30080")));
}

TEST(Convert, a_variable_from_a_config_map_of_the_files_is_carried_over) {
  const Converted made = convert_text(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {a: b}}\nspec:\n  containers:\n"
      "  - name: c\n    image: base\n    env:\n"
      "    - {name: A, valueFrom: {configMapKeyRef: {name: m, key: k}}}\n"
      "    - {name: B, valueFrom: {configMapKeyRef: {name: other, key: k}}}\n"
      "    - {name: C, valueFrom: {secretKeyRef: {name: s, key: k}}}\n---\n"
      "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: value}\n---\n"
      "apiVersion: v1\nkind: Service\nmetadata: {name: front}\nspec: {type: NodePort, selector: "
      "{a: b}, ports: [{port: 80, nodePort: 30080}]}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.text, HasSubstr("A: \"value\""));
  EXPECT_THAT(made.text, HasSubstr("- \"30080:80\""));
  EXPECT_THAT(made.notes,
              ElementsAre(HasSubstr("f:10:7: Pod/p.env.B"), HasSubstr("f:11:7: Pod/p.env.C")));
}

TEST(Convert, jobs_that_run_more_than_once_or_side_by_side_are_a_note) {
  const Converted made = convert_text(
      "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  completions: 3\n"
      "  parallelism: 2\n  backoffLimit: 4\n  template: {spec: {containers: [{name: c, image: "
      "base}]}}\n");
  EXPECT_TRUE(made.faults.empty());
  EXPECT_THAT(made.notes, ElementsAre(HasSubstr("f:5:3: "), HasSubstr("f:6:3: ")));
  EXPECT_THAT(made.notes, ElementsAre(HasSubstr("completions"), HasSubstr("parallelism")));
  EXPECT_THAT(made.text, HasSubstr("retries: 4"));
}

TEST(Convert, what_is_wrong_is_told_where_the_source_says_it) {
  const Converted compose = convert_text(
      "services:\n  db:\n    image: base\n    mem_limit: 5m\n  web:\n    image: base\n"
      "    mem_limit: lots\n    stop_grace_period: soon\n");
  ASSERT_EQ(compose.faults.size(), 2U);
  EXPECT_THAT(compose.faults[0].line() + compose.faults[1].line(), HasSubstr("f:7:16: guests.web"));
  EXPECT_THAT(compose.faults[0].line() + compose.faults[1].line(), HasSubstr("f:8:24: guests.web"));
  const Converted pod = convert_text(
      "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n"
      "  - {name: c, image: base, resources: {limits: {memory: 5x}}}\n");
  ASSERT_FALSE(pod.faults.empty());
  EXPECT_THAT(pod.faults[0].line(), HasSubstr("f:6:57: "));
}

TEST(Convert, other_documents_are_refused) {
  const Converted made = convert_text("a: b\n");
  ASSERT_EQ(made.faults.size(), 1U);
  EXPECT_THAT(made.faults[0].line(), HasSubstr("neither Compose"));
}

TEST(Convert, kubernetes_probes_and_hooks_are_carried_over_with_their_defaults) {
  const Converted made = convert_text(R"(
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  containers:
  - name: c
    image: base
    lifecycle:
      postStart: {exec: {command: [touch, /up]}}
      preStop: {httpGet: {port: 80}}
    startupProbe: {exec: {command: ["true"]}, failureThreshold: 30}
    readinessProbe: {tcpSocket: {port: 5432}, successThreshold: 2, initialDelaySeconds: 5}
)");
  ASSERT_TRUE(made.faults.empty()) << made.faults[0].line();
  EXPECT_THAT(made.text, HasSubstr("postStart:\n    - \"touch\"\n    - \"/up\""));
  EXPECT_THAT(made.text, HasSubstr("interval: \"10s\""));
  EXPECT_THAT(made.text, HasSubstr("initialDelay: \"5s\""));
  EXPECT_THAT(made.text, HasSubstr("successes: 2"));
  EXPECT_THAT(made.text, HasSubstr("action: \"restart\""));
  ASSERT_EQ(made.notes.size(), 1U);
  EXPECT_THAT(made.notes[0], HasSubstr("lifecycle.preStop.httpGet"));
}

TEST(Convert, a_kubernetes_cron_job_is_one_here) {
  const Converted made = convert_text(R"(
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: "*/5 * * * *"
  timeZone: Europe/Paris
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 100
  successfulJobsHistoryLimit: 1
  failedJobsHistoryLimit: 2
  suspend: true
  jobTemplate:
    spec:
      backoffLimit: 4
      template:
        spec:
          restartPolicy: OnFailure
          containers:
          - {name: c, image: base, command: [echo, hi]}
)");
  ASSERT_TRUE(made.faults.empty()) << made.faults[0].line();
  EXPECT_TRUE(made.notes.empty()) << made.notes[0];
  for (const char* line :
       {"kind: CronJob", "schedule: \"*/5 * * * *\"", "timeZone: \"Europe/Paris\"",
        "concurrency: \"forbid\"", "startingDeadline: \"100s\"", "keepSucceeded: 1",
        "keepFailed: 2", "suspend: true", "retries: 4", "- \"echo\"\n"})
    EXPECT_THAT(made.text, HasSubstr(line));
}

}  // namespace
}  // namespace vrun::manifest
