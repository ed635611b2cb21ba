package containers

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sipeat/sipeat/shared/events"
	"github.com/sipeat/sipeat/shared/proof/program"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDocker runs the Docker targets of README and the Makefile, in that order.
func TestDocker(t *testing.T) {
	d := inDock(t, "DOCKER_KAFKA_PORT", "DOCKER_DYNAMODB_PORT")
	for _, step := range []struct {
		name string
		run  func(*dock, *testing.T)
	}{
		{"make up", (*dock).startsContainers},
		{"make topics", (*dock).makesTopics},
		{"make worker-build worker-start", (*dock).buildsAndStartsAWorker},
		{"kill -9", (*dock).losesNothing},
		{"make worker-dev", (*dock).rebuildsOnChange},
		{"make logs", (*dock).showsLogs},
		{"make down", (*dock).keepsData},
		{"make down VOLUMES=1", (*dock).deletesData},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(d, t) }) {
			return // each step depends on those before it
		}
	}
}

func (d *dock) startsContainers(t *testing.T) {
	up := d.make(t, 0, "up")
	kafka, dynamodb := d.at("DOCKER_KAFKA_PORT"), "http://"+d.at("DOCKER_DYNAMODB_PORT")
	assert.Regexp(t, `(?m)^Kafka +`+kafka+` +kafka:19092$`, up.Stdout)
	assert.Regexp(t, `(?m)^DynamoDB +`+dynamodb+` +http://dynamodb:8000$`, up.Stdout)
	assert.Contains(t, d.settings(t), "KAFKA_BROKERS="+kafka)
	assert.Contains(t, d.settings(t), "DYNAMODB_ENDPOINT="+dynamodb)

	containers := d.docker(t, "compose", "ps", "--quiet")
	assert.Len(t, program.Lines(containers), 2)
	assert.Equal(t, up.Stdout, d.make(t, 0, "up").Stdout)
	assert.Equal(t, containers, d.docker(t, "compose", "ps", "--quiet"), "a second time changes nothing")
	assert.Equal(t, d.project+"\n", d.docker(t, "network", "ls", "--filter", "label=com.docker.compose.project="+d.project,
		"--format", "{{.Name}}"))

	assert.Regexp(t, `(?m)^ok +kafka +`+kafka+` `, d.sipeat(t, "doctor").Stdout)
}

func (d *dock) makesTopics(t *testing.T) {
	for _, state := range []string{"created", "ok"} {
		made := d.make(t, 0, "topics").Stdout
		for _, e := range events.Catalogue() {
			assert.Regexp(t, `(?m)^`+e.Topic+` +\d+ +1 .* `+state+`$`, made)
			assert.Contains(t, program.Lines(made), e.Topic, "Kafka's own tool lists it")
		}
	}
}

func (d *dock) buildsAndStartsAWorker(t *testing.T) {
	assert.Contains(t, d.make(t, 2, "worker-start").Stderr, "`make worker-build` first")
	d.make(t, 0, "worker-build")
	tag, err := d.command("git", "describe", "--tags", "--always", "--dirty").Output()
	require.NoError(t, err)
	version, err := d.command(filepath.Join(d.checkout, "bin", "sipeat"), "version").Output()
	require.NoError(t, err)
	assert.Contains(t, string(version), "sipeat "+strings.TrimSpace(string(tag))+" ")

	w := d.start(t, "worker-start")
	w.Says(w.Stdout, "ready topics=contact-created,")
	program.Done(t, d.contacts(t), w.Process)
	for pid, command := range w.family(t) {
		if strings.HasPrefix(command, "bin/sipeat") {
			require.NoError(t, syscall.Kill(pid, syscall.SIGTERM))
		}
	}
	assert.Equal(t, 0, w.Wait(), "make passes on how the worker ended")
	assert.Contains(t, w.Stderr.String(), "ending read model")
}

// losesNothing kills Kafka's process, which Docker restarts, and its container, which `make up` restarts.
func (d *dock) losesNothing(t *testing.T) {
	api, w := d.api(t), d.worker(t)
	kept := []string{api.Post("/contacts", program.AContact).ID}
	d.docker(t, "compose", "exec", "-T", "kafka", "bash", "-c", "kill -9 -1")
	container := strings.TrimSpace(d.docker(t, "compose", "ps", "--all", "--quiet", "kafka"))
	program.Until(t, func() error {
		return program.ErrorUnless(d.docker(t, "inspect", "--format", "{{.RestartCount}}", container) == "1\n",
			"Docker does not restart it")
	})
	kept = append(kept, d.postAgain(t, api))

	d.docker(t, "compose", "kill", "kafka")
	gone := d.sipeat(t, "doctor")
	assert.Equal(t, 1, gone.Status)
	assert.Regexp(t, `(?m)^wrong +kafka +`, gone.Stdout)
	assert.True(t, w.Running() && api.Running(), "an outage is waited out")
	d.make(t, 0, "up")
	kept = append(kept, d.postAgain(t, api))
	for _, id := range kept {
		api.Readable("/contacts", id)
	}
	program.Handled(t, d.at("DOCKER_KAFKA_PORT"), "contact-created")
	w.Signal(syscall.SIGTERM)
	assert.Equal(t, 0, w.Wait())

	again := d.worker(t)
	next := d.contacts(t)
	program.Done(t, next, again)
	assert.Equal(t, len(next), strings.Count(again.Stderr.String(), "group="+program.Groups["contact-created"]+" outcome=done"),
		"it resumes where the first worker ended")
	d.kept = kept
}

// postAgain posts until the API accepts the event: while Kafka is down, the API answers 503 and keeps running.
func (d *dock) postAgain(t *testing.T, api *program.Serving) (id string) {
	t.Helper()
	program.Until(t, func() error {
		a, err := program.Try("POST", api.URL+"/contacts", program.AContact, "Idempotency-Key: "+fmt.Sprint(len(d.posted)))
		if err != nil || a.Status != http.StatusAccepted {
			return errors.Join(err, fmt.Errorf("%d %s", a.Status, a.Body))
		}
		id = program.Decoded[program.Accepted](t, a.Body).ID
		return nil
	})
	d.posted = append(d.posted, id)
	return id
}

func (d *dock) showsLogs(t *testing.T) {
	logs := d.start(t, "logs")
	logs.Says(logs.Stdout, "kafka-1 ")
	logs.Says(logs.Stdout, "dynamodb-1 ")
	logs.interrupt(t)
	logs = d.start(t, "logs", "SERVICE=dynamodb")
	logs.Says(logs.Stdout, "dynamodb-1 ")
	logs.interrupt(t)
	assert.NotContains(t, logs.Stdout.String(), "kafka-1 ")
}

func (d *dock) keepsData(t *testing.T) {
	said := d.make(t, 0, "down").Stdout
	assert.Contains(t, said, "stays for the next `make up`")
	assert.Empty(t, d.docker(t, "ps", "--all", "--quiet", "--filter", "label=com.docker.compose.project="+d.project))
	d.make(t, 0, "up")
	api := d.api(t)
	tail := d.sipeat(t, "tail", "contact-created", "--from-start", "--no-follow").Stdout
	seen := map[any]int{}
	for _, c := range api.Pages("/contacts", "", 100) {
		seen[c["id"]]++
	}
	for _, id := range d.kept {
		assert.Contains(t, tail, fmt.Sprintf(`"id":%q`, id))
		assert.Equal(t, 1, seen[id], "a request that was retried during the outage may be on the topic twice, and has one effect")
	}
}

func (d *dock) deletesData(t *testing.T) {
	mine := []string{"volume", "ls", "--quiet", "--filter", "label=com.docker.compose.project=" + d.project}
	assert.NotEmpty(t, d.docker(t, mine...))
	assert.Contains(t, d.make(t, 0, "down", "VOLUMES=1").Stdout, "is gone")
	assert.Empty(t, d.docker(t, mine...))
	assert.Contains(t, d.make(t, 0, "up").Stdout, "KAFKA_BROKERS=")
	assert.Contains(t, d.sipeat(t, "topics", "--check").Stdout, "MISSING")
}

// TestDockerThreeBrokers: with the profile `cluster` one broker may be missing.
func TestDockerThreeBrokers(t *testing.T) {
	three := []string{"DOCKER_BROKER_1_PORT", "DOCKER_BROKER_2_PORT", "DOCKER_BROKER_3_PORT"}
	d := inDock(t, three...)
	up := func() { d.make(t, 0, "up", "SERVICE=broker-1 broker-2 broker-3") }
	up()
	all := d.at(three[0]) + "," + d.at(three[1]) + "," + d.at(three[2])
	require.Contains(t, d.settings(t), "KAFKA_BROKERS="+all)
	assert.Regexp(t, `(?m)^contact-created +6 +3 .* created$`, d.sipeat(t, "topics").Stdout)
	check := d.sipeat(t, "topics", "--check", "--json")
	require.Equal(t, 0, check.Status, check.Stderr)
	declared := len(program.Decoded[[]any](t, check.Stdout))
	described := d.docker(t, "compose", "exec", "-T", "broker-1", "/opt/kafka/bin/kafka-topics.sh", "--describe",
		"--exclude-internal", "--bootstrap-server", "broker-1:19092")
	assert.Equal(t, declared, strings.Count(described, "min.insync.replicas=2"), described)

	api, w := d.api(t), d.worker(t)
	api.Readable("/contacts", api.Post("/contacts", program.AContact).ID)
	d.docker(t, "compose", "kill", "broker-2")
	for range 3 { // a request during the failover, which takes some seconds, may have to be retried
		api.Readable("/contacts", d.postAgain(t, api))
	}
	assert.True(t, w.Running())
	program.Until(t, func() error { // until Kafka has noticed, too
		said := d.sipeat(t, "doctor")
		down := regexp.MustCompile(`(?m)^wrong +kafka +` + d.at(three[1]) + ` `)
		return program.ErrorUnless(said.Status == 1 && down.MatchString(said.Stdout), said.Stdout)
	})
	for range 10 { // to every partition
		api.Readable("/contacts", api.Post("/contacts", program.AContact).ID)
	}
	up()
	program.Until(t, func() error {
		well := d.sipeat(t, "doctor")
		return program.ErrorUnless(well.Status == 0, well.Stdout)
	})
}

// Without Docker or its engine, the Makefile reports that and suggests `go run . serve`.
func TestMakeWithoutDockerSuggestsServe(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"make", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skip("install make to run this")
		}
	}
	for name, c := range map[string]struct{ docker, says, targets string }{
		"no docker": {"", "This needs Docker with its compose plugin: https://", "up down topics logs settings containers"},
		"no plugin": {"exit 1", "This needs Docker with its compose plugin: https://", "up"},
		"no engine": {`test "$1" = compose`, "its engine does not answer: start it", "up"},
	} {
		path := t.TempDir()
		for _, tool := range []string{"make", "sh", "go"} {
			at, err := exec.LookPath(tool)
			require.NoError(t, err)
			require.NoError(t, os.Symlink(at, filepath.Join(path, tool)))
		}
		if c.docker != "" {
			require.NoError(t, os.WriteFile(filepath.Join(path, "docker"), []byte("#!/bin/sh\n"+c.docker+"\n"), 0o755))
		}
		for target := range strings.FieldsSeq(c.targets) {
			m := exec.Command("make", target)
			m.Dir, m.Env = root, append(outsideMake(), "PATH="+path)
			got := program.Finish(t, m, "")
			assert.Equal(t, 2, got.Status, "%s: make %s", name, target)
			assert.Contains(t, got.Stderr, c.says, "%s: make %s", name, target)
			assert.Contains(t, got.Stderr, "`go run . serve`")
			assert.Empty(t, got.Stdout)
		}
	}
}
